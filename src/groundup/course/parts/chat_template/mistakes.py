"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

SANDBOX = "from jinja2.sandbox import ImmutableSandboxedEnvironment"
GIVEN = '{"tools": None, "documents": None, **self._tokens, **variables}'

MISTAKES: dict[str, tuple[str, str]] = {
    "no sandbox": (SANDBOX, "from jinja2 import Environment as ImmutableSandboxedEnvironment"),
    "messages can be changed": (
        SANDBOX,
        "from jinja2.sandbox import SandboxedEnvironment as ImmutableSandboxedEnvironment",
    ),
    "escaped for HTML": ("trim_blocks=True,", "trim_blocks=True, autoescape=True,"),
    "line ends behind blocks stay": ("trim_blocks=True,", ""),
    "the indent of blocks stays": ("lstrip_blocks=True, ", ""),
    "no break and continue": ('extensions=["jinja2.ext.loopcontrols"]', "extensions=[]"),
    "Jinja2's own tojson": ('environment.filters["tojson"] = to_json', "pass"),
    "letters beyond ASCII are escaped": ("ensure_ascii: bool = False", "ensure_ascii: bool = True"),
    "keys are sorted": ("sort_keys=sort_keys", "sort_keys=True"),
    "no indent": ("indent=indent", "indent=None"),
    "tools are missing": (GIVEN, "{**self._tokens, **variables}"),
    "tokens win over variables": (GIVEN, '{"tools": None, "documents": None, **variables, '
                                  "**self._tokens}"),
    "variables are dropped": (GIVEN, '{"tools": None, "documents": None, **self._tokens}'),
    "the tokens are exchanged": (
        '{"bos_token": bos_token, "eos_token": eos_token}',
        '{"bos_token": eos_token, "eos_token": bos_token}',
    ),
    "an answer is always opened": (
        "add_generation_prompt=add_generation_prompt",
        "add_generation_prompt=True",
    ),
    "errors of Python pass": (
        "except Exception as error:",
        "except __import__('jinja2').TemplateError as error:",
    ),
    "the reason is not told": ('" ".join(str(error).split()) or', '"" or'),
    "refusing does nothing": ("raise GroundupError(message)", "return None"),
    "compiled when it is made": (
        '"eos_token": eos_token}',
        '"eos_token": eos_token}\n        self._template  # noqa: B018',
    ),
    "the day of the training": ("datetime.now().strftime(format)", '"26 Jul 2024"'),
}  # fmt: skip
