"""Chat templates: how a conversation becomes text, and which of its tokens are the assistant's."""

from typing import Any

from trl.chat_template_utils import get_training_chat_template, has_generation_markers

from trainingjob.fields import invalid

_HOW = "set trainer.fineTune.model.chatTemplate"


def chat_template(tokenizer: Any, *, masked: bool) -> str:
    """The template to train with.

    Args:
        tokenizer: With the template that the model is used with.
        masked: Whether it must mark the assistant's turns. TRL knows marked twins of many models' templates.

    Raises:
        TrainingError: exit code 2, when there is none, or none with marks: which tokens to train on is never guessed.
    """
    template = tokenizer.chat_template
    if isinstance(template, dict):
        template = template.get("default")
    if not template:
        raise invalid(
            f"trainer.fineTune.model: its tokenizer has no chat template, so conversations cannot become text; {_HOW}, "
            'or train on rows of {"text": "..."}'
        )
    if not masked or has_generation_markers(template):
        return str(template)
    try:
        twin = get_training_chat_template(tokenizer)
    except ValueError as error:
        raise invalid(
            f"trainer.fineTune.model: its chat template does not mark the assistant's turns; {_HOW} to one with "
            "{% generation %} and {% endgeneration %} around them, or train on all turns with "
            "trainer.fineTune.parameters.assistantOnlyLoss: false"
        ) from error
    return str(twin or template)
