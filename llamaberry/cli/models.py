"""`llamaberry models`: what can be used here."""

from typing import Annotated

import typer

from llamaberry.cli.user_config import user_defaults
from llamaberry.console import as_json, dollars, plain_console


def models(json: Annotated[bool, typer.Option("--json", help="Print it as a JSON document.")] = False) -> None:
    """List the models that can be used here.

    These are the local model, Groq's, and those of other installed providers. No call is made: keys are not tried, and
    prices are the list prices that were known at installation.
    """
    from llamaberry.models.available import available

    here, default = available(), user_defaults().get("model")
    console = plain_console(soft_wrap=True)
    if json:
        document = (
            {"default": default}
            | here._asdict()
            | {
                "groq": [price._asdict() for price in here.groq],
                "providers": [provider._asdict() for provider in here.providers],
            }
        )
        console.out(as_json(document), highlight=False)
        return
    if default:
        console.print(f"your default · {default}", style="bold")
    console.print(f"auto · {here.auto or here.auto_problem}", style="bold")
    console.print(f"local · {here.local or here.local_problem}")
    console.print(f"groq · GROQ_API_KEY is {'set' if here.groq_key_is_set else 'not set'}")
    width = max(len(price.model) for price in here.groq)
    for price in here.groq:
        per_million = f"{dollars(price.input_usd)} + {dollars(price.output_usd)}"
        console.print(f"  {price.model:{width}}  {per_million} per million prompt + output tokens")
    console.print("  other models of Groq's: https://console.groq.com/docs/models")
    for provider in here.providers:
        variable = provider.key_variable
        key = f"{variable} is {'set' if provider.key_is_set else 'not set'}" if variable else "needs no key"
        console.print(f"{provider.name} · {key} · --model {provider.name}:NAME")
