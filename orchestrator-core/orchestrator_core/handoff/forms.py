"""What a sentence is by its form, where no word of `cues` tells: tense and time, doubt, contrast. Pure.

Only classes of words that a language has few of: adverbs of time and of possibility, question words,
forms of verbs. That is weak evidence, and there is none for what is said in a plain present tense.
"""

from __future__ import annotations

import re

from orchestrator_core.handoff.named import NameKind, names


def _form(text: str) -> re.Pattern[str]:
    return re.compile("|".join(line.strip() for line in text.strip().splitlines()), re.IGNORECASE)


_DAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_MONTH = (
    r"(?:jan(?:uary?|uar)|feb(?:ruary|ruar)|mar(?:ch|ç)|märz|apr(?:il)?|ma[iy]|jun[ei]|jul[yi]|aug(?:ust)?|sept(?:ember)?|o[ck]tober"
    r"|november|de[cz]ember)"
)
_TAG = r"(?:montag|dienstag|mittwoch|donnerstag|freitag|samstag|sonntag|wochenende)"

_PERHAPS = _form(
    r"""
    \b(?:maybe|perhaps|possibly|might|whether)\b|\bcould (?:well |also )?be\b|\beither\b.*\bor\b
    \b(?:vielleicht|eventuell|womöglich|möglicherweise|vermutlich)\b|\bkönnten?\b.*\b(?:sein|liegen)\b|\bentweder\b.*\boder\b|(?<!\bals )\bob\b
    \b(?:peut-être|quizás?|tal vez|a lo mejor|forse|misschien|talvez)\b|可能|かもしれ
    """
)
"""An adverb or verb of possibility, or a clause that asks."""

_ASKING_CLAUSE = _form(
    r"""
    ^(?:who|which|how|why|where)\b(?!(?: \w+)? (?:is|are|was|were|do|does|did|can|could|should|would|will|has|have|about|to|come)\b)
    ^(?:wer|wen|wem|welche[rsnm]?|wie(?! gesagt| immer)|wieso|warum|weshalb|wo|woher|wohin|wann|womit|wofür)\b[^?]*,
    """
)
"""A statement that begins with a question: "How they get in, ..."."""

_NOT_KNOWN = _form(
    r"""
    (?<!^do)\b(?:nobody|no one|cannot|can['’]?t|couldn['’]t|could not|(?:hard|difficult|impossible|too early) to)\b.{0,30}\b(?:know|tell|say|explain|decide)\b
    \b(?:niemand|keiner|nicht|schwer)\b.*\b(?:sagen|erklären|abschätzen|beurteilen)\b
    ^(?:still )?no\b.*\b(?:yet|so far)\b|\b(?:bisher|bislang) (?:nicht|kein\w*)\b|^kein\w*\b.*\b(?:bisher|bislang)\b
    """
)

_FROM_THEN_ON = _form(
    rf"""
    ^(?:from|as of|starting) (?:next|now|today|tomorrow|the|\d|{_DAY}|{_MONTH})\b|\bgoing forward\b
    ^ab (?:\d|morgen|heute|jetzt|sofort|dem|nächste[nrsm]?|{_TAG}|{_MONTH})\b|\b(?:künftig|zukünftig|in zukunft)\b
    ^(?:à partir|a partir)\b|\bdésormais\b|\bde ahora en adelante\b
    """
)

_CONTRAST = _form(
    r"""
    ,? (?:and )?not (?:the|a|an|in|on|with|for)\b.{0,40}$|\brather than\b|^only (?!(?:an?|the|this|that|if|when|then|because|since|from|for|in|on|at|to|by|with|one|i|you|he|she|it|we|they|yesterday|today|now)\b)|^no \w+s? (?:in|on|for|at|before|after|without)\b
    , nicht \w+|\bsondern\b|\bstatt\b|\bnur noch\b|^nur (?!(?:der|die|das|ein\w*|wenn|weil|von|für|in|im|an|am|auf|mit|bei|zu|ich|du|er|sie|es|wir|so|noch|eben|mal|heute|gestern)\b)|^kein\w* \w+ (?:im|in|auf|am|für|vor|nach|bei)\b|\bdann eben\b
    ^(?:seulement|solo|sólo|soltanto|alleen)\b|\bau lieu de\b|\ben vez de\b|\binvece di\b
    """
)
"""This and not that."""

_BOUND = _form(
    r"""
    ^(?:max(?:imum)?\.?|at most|no more than|min(?:imum)?\.?|at least) \d|^(?:maximal|höchstens|mindestens) \d
    \bthe one (?:we|i)['’]ll\b|\b(?:it|that|this) will be the\b|^es wird (?:der|die|das|ein)\b
    """
)

_LATER = _form(
    rf"""
    \b(?:tomorrow|tonight|later today)\b|\bthis (?:afternoon|evening|weekend)\b|(?<!from )\b(?:next|coming) (?:week(?:end)?|month|year|{_DAY})\b
    \b(?:on|by|until|before|after) (?:the |next )?(?:{_DAY}|weekend|lunch|work|dinner|holidays?)\b|\bin the (?:afternoon|evening|morning)\b|\bin (?:a|an|two|three|\d+) (?:minutes?|hours?|days?|weeks?|months?)\b
    ^(?:before|after|once|afterwards) (?:the|we|i|that)\b
    (?<!am )(?<!guten )(?<!jeden )(?<!gestern )(?<!heute )\bmorgen\b|\b(?:übermorgen|nachher|danach|demnächst)\b|\bheute (?:abend|nachmittag)\b|\b(?:nächste|kommende)[nrs]? (?:woche|monat|jahr|mal|{_TAG})\b
    \bam (?:kommenden |nächsten )?{_TAG}\b|\bbis (?:zum )?(?:nächsten )?{_TAG}\b|^(?:vor|nach) (?:de[mrn])\b
    \b(?:demain|ce soir|la semaine prochaine|domani|morgenochtend|amanhã|la semana que viene)\b|(?<!la )\bmañana\b|明天|明日
    """
)
_LEFT = _form(
    r"""
    ^(?:still )?(?:\d+|one|two|three|four|five|six|some|a few|several) (?:\w+ ){1,2}to \w+
    ^(?!.*\b(?:ich|wir|er|sie|es|man|ist|sind|hat|haben|wird|kann|wurde|dass|weil)\b)(?:.*\b(?:noch|bitte|nochmal|einmal)\b|(?:vor|nach|bis|danach|dann|morgen|heute)\b).*\b[a-zäöü]+(?:en|ern|eln)\W*$
    """
)
"""So many to do; a German infinitive that no subject goes with."""

_LACKS = _form(r"\b(?:no|not|lacks?|without|nicht|kein\w*|ohne|fehlt|braucht)\b|n['’]t\b")

_BEFORE = _form(
    rf"""
    (?<!since )\b(?:yesterday|this morning|earlier today|just now)\b|\blast (?:night|week|month|{_DAY})\b|\b(?:an?|two|three|\d+) (?:minutes?|hours?|days?|weeks?) ago\b
    (?<!seit )\b(?:gestern|vorgestern|vorhin|soeben)\b|\bheute (?:früh|morgen|vormittag)\b|\b(?:letzte|vorige)[nrs]? (?:woche|nacht|monat|{_TAG})\b
    \b(?:hier soir|ce matin|la semaine dernière|ayer|esta mañana|ieri|gisteren|ontem)\b|昨天|昨日
    """
)
_PAST = (
    r"(?:\w{2,}(?<!ne)(?<!see)ed|came|went|got|gave|took|made|found|bought|brought|sent|told|spoke|wrote|rewrote|threw|met|paid|sold|built"
    r"|drew|drove|chose|did|put|set|cut|tore|rebuilt|began|kept|left|taken|written|given|gone|spoken|thrown|drawn|chosen|seen|read)"
)
_SAID_WITHOUT_I = r"(?!(?:put|set|cut|read|left|kept|did)\b)" + _PAST
"""`Put` may be a command."""
_FILLER = r"(?:and|so|then|finally|also|today|just|already|now) "
_STATES = r"(?:(?:need|want|seem|look|live|use|like|hat|lov|work|hop|suppos|interest|bas|call|nam|locat|relat|limit|deserv|tir)ed|kept)"
_DID = _form(
    rf"""
    ^(?:{_FILLER})*(?:i|we)(?:['’]ve| have)? (?:{_FILLER})?(?!{_STATES}\b){_PAST}\b(?! to be)
    ^(?:{_FILLER})*(?!{_STATES}\b){_SAID_WITHOUT_I} (?:the|an?|my|our|your|his|her|their|it|them|all|both|this|that|these|up|out|off|to|with|some|two|three|ten|\d+)\b
    \b(?:has|have)(?: now| finally| already)? (?!{_STATES}\b){_PAST}\b
    \b(?:ist|sind|wurden?)\b.*\b(?:\w{{0,12}}ge\w{{2,20}}(?:t|en)|(?:ver|unter|über|be|ent)\w{{2,20}}(?:t|en)|\w{{2,20}}iert)\W*$
    """
)
"""A past tense of the person who speaks, or a perfect. Of others it may be any story."""

_WENT_WRONG = _form(
    r"""
    \b(?:crash|fail|stopp|refus|jamm|leak|collaps|vanish|disappear|complain|freez|lost|broke|broken|died|froze|hung|burst|forgot)\w*
    abgestürzt|ausgefallen|kaputt|gescheitert|verschwunden|verloren|vergessen|gebrochen|gerissen|gestorben|hängen
    """
)
_TOLD = _form(
    r"\b(?:was|were|had|did|told|said|went|came|got|gave|took|would|war|waren|hatte|hatten|\w{3,}(?<!ne)ed)\b|\b(?:i|we|you|he|she|they)['’]d\b"
)
"""Of what is over, or only thought of."""
_HABIT = _form(r"\b(?:always|usually|often|sometimes|immer|meistens|oft|manchmal|jeden|every (?:day|week))\b")

_WORD = re.compile(r"\w{4,}")
_OFFER = _form(
    r"""
    \b(?:or|should|shall|would you|do you (?:want|prefer))\b
    \b(?:oder|soll\w*|möchtest|möchten|willst|wollen)\b
    \b(?:ou|préfères|veux-tu|voulez-vous|o|prefieres|quieres|oppure|preferisci|vuoi|of|wil je|prefere)\b
    """
)


def is_doubt(text: str) -> bool:
    """Whether a statement leaves something open."""
    return any(form.search(text) for form in (_PERHAPS, _ASKING_CLAUSE, _NOT_KNOWN))


def is_choice(text: str) -> bool:
    """Whether a statement sets this against that, a bound, or a time from which it holds."""
    return any(form.search(text) for form in (_FROM_THEN_ON, _CONTRAST, _BOUND))


def is_ahead(text: str) -> bool:
    """Whether a statement is of something that is still to come, or to be done."""
    if any(form.search(text) for form in (_HABIT, _TOLD, _BEFORE, _WENT_WRONG)):
        return False
    return bool(_LEFT.search(text) or _LATER.search(text) or (_LACKS.search(text) and _names_file(text)))


def is_past(text: str) -> bool:
    """Whether a statement is of something that was done."""
    return not _WENT_WRONG.search(text) and bool(_DID.search(text) or _BEFORE.search(text))


def takes_up(reply: str, question: str) -> bool:
    """Whether a reply names one of the things that the question lets choose from."""
    return bool(_OFFER.search(question)) and not _content(reply).isdisjoint(_content(question))


def _content(text: str) -> set[str]:
    return {word.casefold() for word in _WORD.findall(text)}


def _names_file(text: str) -> bool:
    return any(name.kind is NameKind.FILE for name in names(text))
