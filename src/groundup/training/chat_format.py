"""How a trained model is talked to: the template that lies beside its tokenizer."""

import json
from pathlib import Path

from groundup.atomic_write import write_text

__all__ = ["CHAT", "PLAIN", "TURN_TOKENS", "write_chat_format"]

TURN_TOKENS = ("<|im_start|>", "<|im_end|>")
# A model that was taught no roles goes on from what was written.
PLAIN = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
CHAT = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def write_chat_format(folder: Path, template: str) -> None:
    """Add a template to ``tokenizer_config.json``, and the token that ends an answer."""
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text("utf-8"))
    end = TURN_TOKENS[1] if template == CHAT else "<|endoftext|>"
    write_text(path, json.dumps({**config, "eos_token": end, "chat_template": template}, indent=2))
