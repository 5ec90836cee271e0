"""G and H: cards, and what they suggest."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

from fhir.resources.R4B import get_fhir_model_class

from cds.conformance.probe import Json, NotHere, Probe
from cds.conformance.rows import require, row

_HTML = re.compile(r"<\s*/?\s*[a-zA-Z!]")


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _https(value: Any) -> bool:
    return isinstance(value, str) and urlsplit(value).scheme in ("https", "http") and bool(urlsplit(value).hostname)


def _coding(value: Any) -> bool:
    return isinstance(value, dict) and _text(value.get("code")) and _text(value.get("system"))


def _filled(owners: Iterable[Json], key: str) -> None:
    for owner in owners:
        found = owner.get(key)
        require(found is None or (isinstance(found, list) and bool(found)), "it is no list, or empty")


def _uuids(found: list[Any]) -> None:
    for one in found:
        require(isinstance(one, str) and str(uuid.UUID(one)) == one, f"'{one}' is no uuid in small letters")
    require(len(found) == len(set(found)), "a uuid stands twice")


def _suggestions(probe: Probe) -> Iterator[tuple[Json, Json]]:
    found = [(card, one) for card in probe.cards for one in card.get("suggestions") or ()]
    if not found:
        raise NotHere("no card suggests anything")
    yield from found


def _actions(probe: Probe) -> Iterator[Json]:
    found = [action for _, one in _suggestions(probe) for action in one.get("actions") or ()]
    if not found:
        raise NotHere("no suggestion has an action")
    yield from found


def _links(probe: Probe) -> Iterator[Json]:
    found = [link for card in probe.cards for link in card.get("links") or ()]
    if not found:
        raise NotHere("no card has a link")
    yield from found


@row("G1", "SHALL", "a card's uuid is one, in small letters, and unique")
def uuids(probe: Probe) -> None:
    found = [card["uuid"] for card in probe.cards if "uuid" in card]
    _uuids(found)


@row("G2", "SHALL", "a summary of one line, below 140 characters")
def summaries(probe: Probe) -> None:
    for card in probe.cards:
        text = str(card.get("summary", ""))
        require(_text(card.get("summary")) and len(text) < 140 and "\n" not in text, f"'{text[:60]}'")


@row("G3", "SHALL", "detail is Markdown without HTML")
def details(probe: Probe) -> None:
    for card in probe.cards:
        if "detail" in card:
            require(_text(card["detail"]) and not _HTML.search(card["detail"]), "it holds HTML, or nothing")


@row("G4", "SHALL", "indicator is info, warning or critical")
def indicators(probe: Probe) -> None:
    for card in probe.cards:
        require(card.get("indicator") in ("info", "warning", "critical"), f"'{card.get('indicator')}'")


@row("G5", "SHALL", "each card names its source")
def sources(probe: Probe) -> None:
    for card in probe.cards:
        require(isinstance(card.get("source"), dict), "no source")


@row("G6", "SHALL", "the source has a label")
def labels(probe: Probe) -> None:
    for card in probe.cards:
        require(_text((card.get("source") or {}).get("label")), "no label")


@row("G7", "SHALL", "the address of a source is absolute, and about no patient")
def source_addresses(probe: Probe) -> None:
    patient = probe.request(probe.hooked)["context"]["patientId"]
    for card in probe.cards:
        address = card["source"].get("url")
        require(address is None or (_https(address) and patient not in address), f"'{address}'")


@row("G8", "SHALL", "the icon of a source, if any, is an absolute address")
def icons(probe: Probe) -> None:
    found = [card["source"]["icon"] for card in probe.cards if "icon" in card["source"]]
    if not found:
        raise NotHere("no source has an icon")
    for one in found:
        require(_https(one), f"'{one}'")


@row("G9", "SHALL", "the topic of a source, if any, is a Coding")
def topics(probe: Probe) -> None:
    for card in probe.cards:
        require("topic" not in card["source"] or _coding(card["source"]["topic"]), "the topic is no Coding")


@row("G10", "MAY", "suggestions, if any, are a list that is not empty")
def suggestion_lists(probe: Probe) -> None:
    _filled(probe.cards, "suggestions")


@row("G11", "SHALL", "selectionBehavior stands wherever suggestions do, and nowhere else")
def behaviours_where_needed(probe: Probe) -> None:
    for card in probe.cards:
        require(("selectionBehavior" in card) == ("suggestions" in card), "one stands without the other")


@row("G12", "SHALL", "selectionBehavior is at-most-one or any")
def behaviours(probe: Probe) -> None:
    for card in probe.cards:
        require(card.get("selectionBehavior", "any") in ("at-most-one", "any"), f"'{card.get('selectionBehavior')}'")


@row("G13", "SHALL", "of suggestions that exclude each other one at most is recommended")
def recommended_once(probe: Probe) -> None:
    for card in probe.cards:
        count = sum(bool(one.get("isRecommended")) for one in card.get("suggestions") or ())
        require(count <= 1 or card.get("selectionBehavior") == "any", f"{count} are")


def _reasons(probe: Probe) -> Iterator[Json]:
    found = [one for card in probe.cards for one in card.get("overrideReasons") or ()]
    if not found:
        raise NotHere("no card offers reasons")
    yield from found


@row("G14", "MAY", "override reasons, if any, are a list that is not empty")
def reason_lists(probe: Probe) -> None:
    _filled(probe.cards, "overrideReasons")


@row("G15", "SHALL", "an override reason has code, system and display")
def reasons(probe: Probe) -> None:
    for one in _reasons(probe):
        require(_coding(one) and _text(one.get("display")), f"'{one}'")


@row("G16", "MAY", "override reasons come from a code system that people can look up")
def reasons_have_a_system(probe: Probe) -> None:
    for one in _reasons(probe):
        require(_https(one.get("system")), f"'{one.get('system')}'")


@row("G17", "MAY", "links, if any, are a list that is not empty")
def link_lists(probe: Probe) -> None:
    _filled(probe.cards, "links")


@row("G18", "SHALL", "a suggestion has a label")
def suggestion_labels(probe: Probe) -> None:
    for _, one in _suggestions(probe):
        require(_text(one.get("label")), "none")


@row("G19", "MAY", "a suggestion's uuid is one, and unique")
def suggestion_uuids(probe: Probe) -> None:
    found = [one["uuid"] for _, one in _suggestions(probe) if "uuid" in one]
    _uuids(found)


@row("G20", "MAY", "isRecommended, if any, is true or false")
def recommended(probe: Probe) -> None:
    for _, one in _suggestions(probe):
        require(isinstance(one.get("isRecommended", True), bool), f"'{one.get('isRecommended')}'")


@row("G21", "MAY", "actions, if any, are a list that is not empty")
def action_lists(probe: Probe) -> None:
    _filled((one for _, one in _suggestions(probe)), "actions")


@row("G22", "SHALL", "the actions of a suggestion go together")
def actions_go_together(probe: Probe) -> None:
    for _, one in _suggestions(probe):
        touched = [action.get("resourceId") for action in one.get("actions") or () if action.get("resourceId")]
        require(len(touched) == len(set(touched)), "two of them are about one resource")


@row("G23", "MAY", "actionSelectionBehavior, if any, is all, any or at-most-one")
def action_behaviours(probe: Probe) -> None:
    for _, one in _suggestions(probe):
        found = one.get("actionSelectionBehavior", "all")
        require(found in ("all", "any", "at-most-one"), f"'{found}'")


@row("G24", "SHALL", "an action creates, updates or deletes")
def action_types(probe: Probe) -> None:
    for action in _actions(probe):
        require(action.get("type") in ("create", "update", "delete"), f"'{action.get('type')}'")


@row("G25", "SHALL", "an action has a description")
def action_descriptions(probe: Probe) -> None:
    for action in _actions(probe):
        require(_text(action.get("description")), "none")


@row("G26", "SHALL", "what is created is a FHIR R4 resource, an order a draft or a proposal")
def created(probe: Probe) -> None:
    for action in _actions(probe):
        if action.get("type") != "create":
            continue
        resource: Json = action["resource"]
        kind = str(resource.get("resourceType"))
        get_fhir_model_class(kind).model_validate(resource)  # a ValueError names a resource that is none
        if kind.endswith("Request"):
            draft = resource.get("status") == "draft" or resource.get("intent") == "proposal"
            require(draft, f"a {kind} that is neither draft nor proposal")


@row("G28", "SHOULD", "what is deleted is named as Type/id in resourceId")
def deleted(probe: Probe) -> None:
    found = [action for action in _actions(probe) if action.get("type") == "delete"]
    if not found:
        raise NotHere("nothing is deleted")
    for action in found:
        named = str(action.get("resourceId"))
        require("resource" not in action and bool(re.fullmatch(r"[A-Z][A-Za-z]+/[\w.-]+", named)), f"'{named}'")


@row("G29", "SHALL", "a link has a label")
def link_labels(probe: Probe) -> None:
    for link in _links(probe):
        require(_text(link.get("label")), "none")


@row("G30", "SHALL", "a link has an absolute address, without tokens")
def link_addresses(probe: Probe) -> None:
    for link in _links(probe):
        require(_https(link.get("url")) and "token" not in link["url"], f"'{link.get('url')}'")


@row("G31", "SHALL", "a link is absolute or smart")
def link_types(probe: Probe) -> None:
    for link in _links(probe):
        require(link.get("type") in ("absolute", "smart"), f"'{link.get('type')}'")


@row("G32", "SHALL NOT", "appContext stands with smart links alone, and is a text")
def app_contexts(probe: Probe) -> None:
    for link in _links(probe):
        found = link.get("appContext")
        require(found is None or (link.get("type") == "smart" and isinstance(found, str)), f"'{found}'")


@row("G34", "SHALL", "a Coding has code and system")
def codings(probe: Probe) -> None:
    for card in probe.cards:
        for one in (*(card.get("overrideReasons") or ()), *filter(None, [card["source"].get("topic")])):
            require(_coding(one), f"'{one}'")


@row("G35", "SHOULD", "a card can be understood by its summary alone")
def understood(probe: Probe) -> None:
    for card in probe.cards:
        require(len(str(card.get("summary")).split()) >= 3, f"'{card.get('summary')}'")


@row("H2", "SHALL NOT", "nothing is done without a person: no system actions")
def no_deeds(probe: Probe) -> None:
    for _, answer in probe.answers:
        require("systemActions" not in answer, "there are some")
