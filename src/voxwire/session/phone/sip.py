"""An agent on the phone, over SIP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...agent import RealtimeAgent
from ...protocol.config import coerce_config, merge_wire
from ...transports.base import ConfigLike
from ...transports.sideband import OpenAIRealtimeSideband
from ...transports.sip_config import accept_payload, refuse_unsupported
from ..session import RealtimeSession

__all__ = ["OpenAIRealtimeSIP"]


class OpenAIRealtimeSIP(OpenAIRealtimeSideband):
    """A phone call that the service carries over SIP, seen from the agent.

        payload = await OpenAIRealtimeSIP.build_initial_config(agent, config=config)
        await Calls(api_key=key).accept(call_id, payload)
        session = RealtimeSession(agent, transport=OpenAIRealtimeSIP(), config=config)
        await session.connect(api_key=key, call_id=call_id)

    As `OpenAIRealtimeSideband`; and fields of turn detection that the service does not take for SIP are
    refused by name before anything is sent.
    """

    @classmethod
    async def build_initial_config(
        cls, agent: RealtimeAgent, *, overrides: ConfigLike | None = None, **options: Any
    ) -> dict[str, Any]:
        """What to accept a call with: the configuration that a session of these options will send first.

        Left out are audio formats, which the call has, and tracing, which the session sets when it attaches.

        Args:
            agent: who will answer.
            overrides: laid over the result.
            options: as for `RealtimeSession`: `config`, `model`, `context` ...

        Returns:
            The body for `Calls.accept`, and the keyword arguments for `calls.accept` of the `openai` client.

        Raises:
            UserError: the agent or an option cannot be used, or turn detection has a field that SIP has not.
        """
        config = await RealtimeSession.compute_initial_session_config(
            agent, **{"transport": cls(), **options}
        )
        return accept_payload(merge_wire(config, coerce_config(overrides).to_wire()))

    def _prepared(self, config: Mapping[str, Any]) -> dict[str, Any]:
        refuse_unsupported(config)
        return super()._prepared(config)
