"""Small talk in four languages: what a memory holds beside the facts that are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

_TOPICS: dict[str, dict[str, Sequence[str]]] = {
    "english": {
        "asked": (
            "Can you explain {thing} to me in simple words?",
            "{person} asked me about {thing} and I had no answer. What would you say?",
            "How do I get {thing} done before {when} without losing my mind?",
            "Write a short, friendly note to {person} about {thing}.",
            "What is the difference between {thing} and {other}?",
            "I had a long day. {person} talked about {thing} for an hour, then about {other}.",
            "Do you think {thing} is worth the effort?",
            "Give me three ideas for {thing}, nothing fancy.",
            "{when} I have to deal with {thing} again, wish me luck.",
            "Is it normal that {thing} takes so long? {person} says yes.",
            "We talked about {other} at dinner and {person} laughed until the neighbours knocked.",
            "Why does everybody recommend {thing} and nobody {other}?",
            "Compare {thing} with {other} for somebody like me.",
            "I read an article about {thing} {when}. It said nothing new.",
        ),
        "answered": (
            "A good start is to look at {thing} by itself and leave {other} for later.",
            "It depends on how much time you have. Most people begin with {thing}.",
            "That sounds tiring. If you like, we can go through {thing} step by step.",
            "Here is a version you could send: \"Hello {person}, about {thing}: shall we talk {when}?\"",
            "In short: {thing} costs more at first, {other} costs more later.",
            "Three ideas: keep {thing} small, ask {person} for help, and write down what worked.",
            "Both are fine. I would decide by what annoys you most about {other}.",
            "Good luck! Tell me how it went with {thing} and whether {person} came along.",
        ),
        "thing": (
            "the dentist", "a birthday cake", "the tax form", "a code review", "the database migration",
            "the dog's dinner", "a train journey", "the garden hedge", "unit tests", "the piano",
            "a job interview", "the insurance letter", "the washing machine", "a marathon", "the heating bill",
            "the wedding speech", "bedtime stories", "the server room", "a new bicycle", "the school play",
            "healthy breakfasts", "the release notes", "the hotel breakfast", "an old passport photo",
            "the backup plan", "wine with fish", "the doctor's waiting room", "painting a wall", "the wifi",
            "choosing shoes", "the team meeting", "a leaking tap", "presents for children", "the concert",
            "the budget talk", "a password manager", "holiday plans", "the print queue", "the swimming pool",
        ),
        "person": (
            "Claire", "my brother", "the boss", "Jakob", "a colleague", "Fatima", "the neighbour", "Mr Stone",
            "my teacher", "the plumber", "Grandma", "Luis", "the new intern", "an old friend",
        ),
        "when": ("On Monday", "tomorrow", "next week", "on Sunday morning", "last night", "in the evening"),
    },
    "german": {
        "asked": (
            "Kannst du mir {thing} einfach erklären?", "{person} hat mich nach {thing} gefragt.",
            "Lohnt sich {thing} überhaupt?", "Was ist besser, {thing} oder {other}?",
            "Heute ging es den ganzen Tag um {thing}, ich bin müde.",
            "Schreib {person} bitte zwei freundliche Sätze über {thing}.",
            "Wie lange dauert {thing} normalerweise?", "Wir haben beim Essen über {other} gestritten.",
        ),
        "answered": (
            "Fang mit {thing} an und lass {other} erst einmal liegen.",
            "Das klingt anstrengend. Frag doch {person}, ob es zusammen leichter geht.",
            "Kurz gesagt: {thing} kostet am Anfang mehr, {other} später.",
            "Das hängt davon ab, wie viel Zeit du hast.",
        ),
        "thing": (
            "der Zahnarzt", "die Steuererklärung", "die neue Datenbank", "der Hund", "die Heizung", "das Auto",
            "der Urlaub", "die Hochzeit", "der Server", "die Waschmaschine", "das Geschenk", "der Garten",
            "die Wohnung", "der Kuchen", "der Halbmarathon", "die Schule", "das Passwort", "der Kollege",
        ),
        "person": ("Sabine", "mein Bruder", "die Chefin", "Jürgen", "der Nachbar", "Oma", "die Lehrerin"),
        "when": ("morgen",),
    },
    "spanish": {
        "asked": (
            "¿Me explicas {thing} con palabras sencillas?", "{person} me preguntó por {thing}.",
            "¿Vale la pena {thing}?", "¿Qué es mejor, {thing} o {other}?",
            "Hoy todo el día fue {thing}, estoy cansado.", "Escribe a {person} dos frases amables sobre {thing}.",
            "¿Cuánto suele tardar {thing}?", "En la cena discutimos sobre {other}.",
        ),
        "answered": (
            "Empieza por {thing} y deja {other} para más tarde.",
            "Suena agotador. Pregunta a {person} si podéis hacerlo juntos.",
            "En resumen: {thing} cuesta más al principio y {other} después.",
            "Depende del tiempo que tengas.",
        ),
        "thing": (
            "la dentista", "la declaración", "la base de datos", "el perro", "la calefacción", "el coche",
            "las vacaciones", "la boda", "el servidor", "la lavadora", "el regalo", "el jardín", "el piso",
            "la tarta", "la media maratón", "la escuela", "la contraseña", "el compañero nuevo",
        ),
        "person": ("Carmen", "mi hermano", "la jefa", "Javier", "el vecino", "la abuela", "la profesora"),
        "when": ("mañana",),
    },
    "chinese": {
        "asked": (
            "你能简单地解释一下{thing}吗？", "{person}问我{thing}的事，我不知道怎么回答。", "{thing}值得吗？",
            "{thing}和{other}哪个更好？", "今天一整天都在忙{thing}，累死了。", "帮我给{person}写两句关于{thing}的话。",
            "{thing}一般要多长时间？", "吃饭的时候我们聊了{other}。",
        ),
        "answered": (
            "先从{thing}开始，{other}以后再说。", "听起来很累，你可以请{person}帮忙。",
            "简单地说，{thing}开始的时候贵一些，{other}后来贵一些。", "这要看你有多少时间。",
        ),
        "thing": (
            "看牙医", "报税", "数据库", "家里的狗", "暖气", "汽车保险", "旅游", "婚礼", "服务器", "洗衣机",
            "生日礼物", "花园", "房子", "蛋糕", "跑步", "学校", "密码", "同事",
        ),
        "person": ("小王", "我哥哥", "老板", "邻居", "奶奶", "老师", "张先生"),
        "when": ("明天",),
    },
}  # fmt: skip
_SHARES = (("english", 6), ("german", 2), ("spanish", 1), ("chinese", 1))


class SmallTalk:
    """Questions and answers that hold no fact; the same seed gives the same."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def language(self) -> str:
        """That of one session."""
        return self._random.choices([name for name, _ in _SHARES], [share for _, share in _SHARES])[0]

    def turn(self, language: str) -> tuple[str, str]:
        """What the owner says and what is answered: one to three sentences each."""
        return self._said(language, "asked"), self._said(language, "answered")

    def _said(self, language: str, kind: str) -> str:
        choose, words = self._random.choice, _TOPICS[language]
        person, when = choose(words["person"]), choose(words["when"])
        sentences = []
        for template in self._random.sample(words[kind], self._random.choice((1, 1, 2, 3))):
            thing, other = self._random.sample(words["thing"], 2)
            text = template.format(thing=thing, other=other, person=person, when=when)
            sentences.append(text[0].upper() + text[1:])
        return " ".join(sentences)
