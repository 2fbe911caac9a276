# syntax=docker/dockerfile:1
# The server, on CPUs:  docker build -t groundup .
#   docker run -e GROUNDUP_API_KEY=... -p 127.0.0.1:8000:8000 -v groundup:/var/lib/groundup groundup
FROM python:3.11-slim-bookworm AS build
# PyTorch's own index has the build for CPUs; the one that pip finds by itself carries CUDA's
# libraries, several GB of them.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/groundup
ENV PATH=/opt/groundup/bin:$PATH
WORKDIR /src
COPY constraints.txt ./
# A layer of its own: it is by far the largest, and changes only with its version.
RUN pip install --constraint constraints.txt --index-url "$TORCH_INDEX" torch
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN pip install --constraint constraints.txt '.[scale,serve,traces]'

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/groundup groundup \
    && install -d -o groundup -g groundup /var/lib/groundup
COPY --from=build /opt/groundup /opt/groundup
# Models and compiled kernels go to the volume: all the rest may be read-only, but for /tmp.
ENV PATH=/opt/groundup/bin:$PATH \
    GROUNDUP_HOME=/var/lib/groundup \
    NUMBA_CACHE_DIR=/var/lib/groundup/kernels \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /var/lib/groundup
VOLUME /var/lib/groundup
EXPOSE 8000
# The first start fetches the model and compiles the kernels.
HEALTHCHECK --interval=10s --timeout=5s --start-period=5m --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/ready', timeout=4)"]
ENTRYPOINT ["groundup"]
CMD ["serve", "--host", "0.0.0.0"]
