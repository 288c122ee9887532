"""What the Prefect server watches and tells by itself: alerts as automations.

Every hour the flow ``alerts`` looks at the catalogue and tells people by ``davault notify``. These automations are the
second, independent way: they tell through a channel of the server's own what it finds and could tell nobody, they tell
of runs that failed or crashed as soon as that happens - and they notice when nothing happens any more, because a dead
worker tells nobody anything. All of them are brought up to date by ``python -m deployments.register``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

from prefect import get_client
from prefect.blocks.notifications import CustomWebhookNotificationBlock, SlackWebhook
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import Automation, AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.types import SecretDict
from pydantic import SecretStr

from backup_core.config.secrets import resolve_secret
from backup_core.errors import ConfigError
from backup_core.services.alerts.records import AlertKind
from backup_core.services.notices import understood
from backup_core.types import Secret
from deployments.unfinished import UNHEARD
from flows._signs import WATCHED, alert_event, configuration_resource
from flows.alerts import FLOW

PREFIX = "davault: "
"""All names of these automations begin with it; what begins with it and is not wanted any more is removed."""
SILENCE = f"{PREFIX}silence"
RUNS = f"{PREFIX}a run failed"
ZOMBIES = f"{PREFIX}a run has died"
BLOCK = "davault-alerts"
"""Name of the block that holds the address of the channel."""
LONGEST_SILENCE = timedelta(minutes=90)
"""The flow ``alerts`` runs every hour. The server counts in periods that follow one another, so it notices silence
between one and two of them after the last sign: three hours at most."""
LONGEST_WITHOUT_HEARTBEAT = timedelta(minutes=9)
"""Runs send one every three minutes."""
_HEARTBEAT = "prefect.flow-run.heartbeat"
_PAGE = 200


@dataclass(frozen=True, slots=True)
class Periods:
    """How long nothing may be heard."""

    silence: timedelta = LONGEST_SILENCE
    """Of a completed run of ``alerts``, and of a word that somebody has looked at a configuration."""
    heartbeat: timedelta = LONGEST_WITHOUT_HEARTBEAT
    """Of a run that is at work."""


def zombies(periods: Periods) -> AutomationCore:
    """A run whose process has died with its worker, which nobody told the server of, becomes Crashed."""
    return AutomationCore(
        name=ZOMBIES,
        description=f"No heartbeat within {periods.heartbeat}, and no end: the machine has gone away.",
        trigger=EventTrigger(
            posture=Posture.Proactive,
            after={_HEARTBEAT},
            # Heartbeats and every change of state, however it is named.
            expect={"prefect.flow-run.*"},
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            for_each={"prefect.resource.id"},
            threshold=1,
            within=periods.heartbeat,
        ),
        actions=[
            ChangeFlowRunState(
                name=None,
                state=StateType.CRASHED,
                message=f"{UNHEARD} for {periods.heartbeat}. The next run goes on where it stopped.",
                force=False,
            )
        ],
    )


def silences(channel: UUID, configurations: Iterable[str], periods: Periods) -> list[AutomationCore]:
    """What must happen again and again: somebody looks for alerts, and finds that each newest backup is young enough.

    They fire for what never happened, too, and again after each period.
    """
    within = periods.silence
    made = [
        AutomationCore(
            name=SILENCE,
            description=f"No run of {FLOW} completed within {within}: is a worker alive?",
            trigger=EventTrigger(
                posture=Posture.Proactive,
                expect={"prefect.flow-run.Completed"},
                match_related=ResourceSpecification({"prefect.resource.role": "flow", "prefect.resource.name": FLOW}),
                threshold=1,
                within=within,
            ),
            actions=[
                _told(
                    channel,
                    "Davault has fallen silent",
                    f"No run of {FLOW} has completed within {within}. Is a worker running? Backups may not be made.\n"
                    "What to do: see the workers on the page of the work pool, and start one.",
                )
            ],
        )
    ]
    for name in configurations:
        safe = _literal(name)
        made.append(
            AutomationCore(
                name=f"{PREFIX}no backup of {name}",
                description=f"Nobody found a backup of {name} that is young enough within {within}.",
                trigger=EventTrigger(
                    posture=Posture.Proactive,
                    expect={WATCHED},
                    match=ResourceSpecification({"prefect.resource.id": configuration_resource(name)}),
                    threshold=1,
                    within=within,
                ),
                actions=[
                    _told(
                        channel,
                        f"Davault: no new backup of {safe}",
                        f"For {within} nobody has found a backup of {safe} that is young enough.\n"
                        f"What to do: back up now (davault backup {safe}), and see why the schedule did not: is a "
                        "worker running, and does its run fail?",
                    )
                ],
            )
        )
    return made


def reports(channel: UUID) -> list[AutomationCore]:
    """What is told at once: each kind of alert, and each run that failed after its retries or crashed."""
    made = [
        AutomationCore(
            name=f"{PREFIX}{kind.value}",
            description=f"The flow {FLOW} found something to do something about, and could tell nobody: {kind.value}.",
            trigger=EventTrigger(posture=Posture.Reactive, expect={alert_event(kind)}, threshold=1),
            actions=[
                _told(
                    channel,
                    "Davault: {{ event.payload.message }}",
                    "{{ event.payload.message }}.\nWhat to do: {{ event.payload.advice }}",
                )
            ],
        )
        for kind in AlertKind
    ]
    made.append(
        AutomationCore(
            name=RUNS,
            description="A run failed after its retries, took too long, or crashed.",
            trigger=EventTrigger(
                posture=Posture.Reactive,
                expect={"prefect.flow-run.Failed", "prefect.flow-run.TimedOut", "prefect.flow-run.Crashed"},
                match_related=ResourceSpecification(
                    {"prefect.resource.role": "tag", "prefect.resource.id": "prefect.tag.davault"}
                ),
                threshold=1,
            ),
            actions=[
                _told(
                    channel,
                    "Davault: {{ flow_run.name }} has {{ flow_run.state.name | lower }}",
                    "{{ flow_run.name }}: {{ flow_run.state.message }}\n"
                    "What to do: read the run's log and report ({{ flow_run | ui_url }}), mend the cause, and run it "
                    "again; what was stored already is reused.",
                )
            ],
        )
    )
    return made


def register_automations(
    channel: str | None, configurations: Sequence[str], *, periods: Periods | None = None
) -> list[str]:
    """Bring the automations up to date, and remove those of what is gone; their names.

    ``channel`` is a reference (``env:NAME``, ``file:PATH``) to an Apprise URL, such as ``mailto://…``, or to the
    address of a webhook. None keeps the one there is, if any. Raises ``ConfigError`` when it leads nowhere.
    """
    periods = periods or Periods()
    with get_client(sync_client=True) as client:
        known = _known(client)
        block = _channel_in_use(known) if channel is None else None
        if channel is not None:
            block = keep_channel(resolve_secret(channel, what="the channel of the server's alerts"))
        wanted = [zombies(periods)]
        if block is not None:
            wanted += [*silences(block, configurations, periods), *reports(block)]
        for automation in wanted:
            _keep(client, automation, known.pop(automation.name, None))
        for gone in known.values():
            client.delete_automation(gone.id)
    return [automation.name for automation in wanted]


def remove_automations() -> list[str]:
    """Take all of them away; the names of those that were there."""
    with get_client(sync_client=True) as client:
        known = _known(client)
        for automation in known.values():
            client.delete_automation(automation.id)
    return list(known)


def keep_channel(address: Secret) -> UUID:
    """Keep the address of a channel as a block of the server; its id."""
    text = address.reveal()
    if text.startswith(("http://", "https://")):
        # The address may hold a token, so it stands among the secrets, which the server keeps encrypted.
        block: CustomWebhookNotificationBlock | SlackWebhook = CustomWebhookNotificationBlock(
            name=BLOCK,
            url="{{address}}",
            secrets=SecretDict({"address": text}),
            json_data={"subject": "{{subject}}", "text": "{{body}}"},
            headers=None,
            cookies=None,
        )
    else:
        if not understood(address):
            raise ConfigError("the channel of the server's alerts is no Apprise URL, and no address of a webhook")
        # Of the kinds of blocks that a server knows without our code, the one that hands every address to Apprise.
        block = SlackWebhook(url=SecretStr(text))
    return cast(UUID, block.save(f"{BLOCK}-{block.get_block_type_slug()}", overwrite=True))


def _told(channel: UUID, subject: str, body: str) -> SendNotification:
    return SendNotification(block_document_id=channel, subject=subject, body=body)


def _literal(text: str) -> str:
    """``text`` as part of a template in which it must not act as one."""
    return text.replace("{", "(").replace("}", ")").replace("%", "")


def _keep(client: SyncPrefectClient, wanted: AutomationCore, known: Automation | None) -> None:
    if known is None:
        client.create_automation(wanted)
        return
    # What a person has switched off stays so. And what is right already is left alone: a change would begin its
    # period anew.
    wanted = wanted.model_copy(update={"enabled": known.enabled})
    if _core(wanted) != _core(known):
        client.update_automation(known.id, wanted)


def _core(automation: AutomationCore) -> dict[str, Any]:
    document = automation.model_dump(mode="json", include=set(AutomationCore.model_fields))
    document["trigger"].pop("id", None)
    return document


def _channel_in_use(known: Mapping[str, Automation]) -> UUID | None:
    actions = known[SILENCE].actions if SILENCE in known else ()
    return next((action.block_document_id for action in actions if isinstance(action, SendNotification)), None)


def _known(client: SyncPrefectClient) -> dict[str, Automation]:
    found: list[Automation] = []
    while page := client.read_automations(limit=_PAGE, offset=len(found)):
        found += page
    return {automation.name: automation for automation in found if automation.name.startswith(PREFIX)}
