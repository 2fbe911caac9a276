"""Which models one can talk to, and what becomes of others."""

from pathlib import Path

import pytest

from groundup.app.application import App
from groundup.app.endpoints import Remote
from groundup.app.model_server import Endpoint, ModelServers
from groundup.app.sign_in import LiveSessions
from groundup.app.store.store import Store
from groundup.errors import GroundupError

REMOTE = Remote("lab", "http://127.0.0.1:9/v1", "key", ("org/big",))


@pytest.mark.parametrize("shared", [False, True])
async def test_where_a_model_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: bool
) -> None:
    started: list[str] = []

    async def endpoint(servers: ModelServers, model: str) -> Endpoint:
        started.append(model)
        return Endpoint("http://here/v1", model)

    monkeypatch.setattr(ModelServers, "endpoint", endpoint)
    store = Store(f"sqlite:///{tmp_path / 'app.db'}")
    sessions = LiveSessions(store) if shared else None
    app = App.create(tmp_path, store, "mine.gguf", sessions=sessions)
    app.endpoints.put(REMOTE)
    assert app.offered_models()[0] == "mine.gguf"
    assert app.offered_models()[-1] == "lab/org/big"
    find = app.answers.endpoint_of
    assert await find("lab/org/big") == Endpoint("http://127.0.0.1:9/v1", "org/big", "key")
    assert (await find("mine.gguf")).model == "mine.gguf"
    for name in ("/etc/passwd", "some/hub-id"):  # as an imported conversation may name it
        if shared:
            with pytest.raises(GroundupError, match="is not offered here: choose another model"):
                await find(name)
        else:
            await find(name)  # one's own machine
    assert started == (["mine.gguf"] if shared else ["mine.gguf", "/etc/passwd", "some/hub-id"])
    (tmp_path / "endpoints.json").write_text("damaged")
    assert "lab/org/big" not in app.offered_models()
    store.close()
