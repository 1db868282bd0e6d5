"""agent: a request -> an answer, over as many turns of the LLM as it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from orchestrator.errors import UserError
from orchestrator.nodes.decode import MADE
from orchestrator.nodes.media import Media
from orchestrator.nodes.ports import SHOWN, Port, PortType
from orchestrator.nodes.route import GIVEN, RESULTS, TOOLS, ActConfig, asked, gathered
from orchestrator.nodes.sight import unsaid, unseen
from orchestrator.nodes.stage import Context, Inputs, Outputs, Stage
from orchestrator.prompts import role

if TYPE_CHECKING:
    from orchestrator.models.bundle import Bundle


class AgentConfig(ActConfig):
    """How the loop goes, and when it ends."""

    role: str = Field("", description="What the LLM is told to be: controller, decider, refiner, or a text.")
    turns: int = Field(4, ge=1, le=100, description="The most turns; in the last one nothing can be called.")
    seconds: float | None = Field(None, gt=0, description="No turn begins later than this.")
    tokens: int | None = Field(None, ge=1, description="No turn begins once the LLM has written so many.")
    tries: int = Field(2, ge=0, description="How often in a row all calls of a turn may fail.")
    see: tuple[str, ...] | None = Field(
        None, description="Modalities of what is made that the LLM sees; default: all that it can see."
    )
    observed: str = Field("{results}", description="What the LLM is told of what its calls gave: a template.")
    max_new_tokens: int = Field(96, ge=1, description="The longest reply, in tokens, signals included.")
    temperature: float = Field(0.0, ge=0, description="As of reason.")


class Agent(Stage):
    """Reason, follow the calls, show the LLM what they gave, and again, until it answers without a call.

    What it makes goes back through the encoders, to a remote LLM as it is, so that it sees it; a call that fails is
    told. The engine runs the turns; the stage puts the last reply together with what all calls gave.
    """

    name: ClassVar[str] = "agent"
    config_class = AgentConfig
    inputs: ClassVar[Mapping[str, Port]] = {
        "prompt": Port(PortType("Media", "text"), "F_T: what is asked."),
        "media": SHOWN,
        "history": Port(PortType("History"), "The dialogue before.", optional=True),
        "tools": TOOLS,
        "reply": Port(PortType("Reply"), "The last reply: for the engine to fill.", optional=True),
        "results": RESULTS,
    }
    outputs: ClassVar[Mapping[str, Port]] = {
        **GIVEN,
        "stop": Port(PortType("Media", "text"), "Why it ended: `answer`, or `limit` where it had calls left."),
    }

    direct = False  # whether the LLM sees media as they are: told by `for_bundle`

    @property
    def random(self) -> bool:  # type: ignore[override]
        return bool(self.config.temperature > 0)

    def for_bundle(self, bundle: Bundle) -> Stage:
        usual = tuple(name for name in MADE if name in bundle.understands)
        made = Agent(self.config.model_copy(update={"see": usual}) if self.config.see is None else self.config)
        made.direct = bundle.remote
        return made

    def misfits(self, bundle: Bundle, types: Mapping[str, PortType]) -> list[str]:
        blind = [name for name in self.config.see or () if bundle.remote and name not in bundle.sees]
        problems = [*unseen(bundle, types), *(unsaid(bundle, name) for name in blind)]
        try:
            role(self.config.role)
        except UserError as error:
            problems.append(str(error))
        return problems

    def run(self, batch: Sequence[Inputs], context: Context) -> list[Outputs]:
        """Nothing is computed."""
        return [self._ended(request) for request in batch]

    def _ended(self, request: Inputs) -> Outputs:
        reply = request["reply"]
        stop = "limit" if asked(reply)[1] else "answer"
        return gathered(reply, request.get("results", ())) | {"stop": Media.load(stop, "text")}
