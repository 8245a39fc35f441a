"""Requests: what a user may type, and what the answering poem has to hold."""
from __future__ import annotations

import random
import string
from dataclasses import dataclass
from itertools import accumulate

from grammar import OWN_FRAMES, Given, Grammar
from words import LETTERS, Tables, Word, count_syllables, held_out_words, leaks, spelled_syllables

ASK = ["Write", "Write", "Write", "Write me", "Please write", "Compose", "Create", "Give me", "Make", "Craft", "Pen", "Draft", "Generate", "Produce", "I want",
       "I need", "I would like", "I'd love", "Show me", "Can you write", "Could you write", "Would you compose", "Can you give me", "Please compose",
       "Try to write", "Sing me", "Tell me", "Let me read", "Hi! Write", "Hello, please write", "Now write", "Quickly write", "Invent", "Improvise"]
POEM = ["a haiku", "a haiku", "a haiku", "a haiku", "a short haiku", "a haiku poem", "a poem", "a short poem", "a traditional haiku", "a nice haiku", "a 5-7-5 haiku",
        "a beautiful haiku", "a funny haiku", "a sad haiku", "some haiku", "another haiku", "the best haiku", "a Haiku", "a little verse", "an english haiku"]
ABOUT = ["about", "about", "about", "about", "about", "on", "on the topic of", "on the subject of", "regarding", "for", "inspired by", "dedicated to", "describing",
         "that is about", "all about", "concerning", "in praise of", "which speaks of", "on the theme of"]
INCLUDE = [' that includes the word "{w}"', ' that includes the word "{w}"', ' that includes the word "{w}"', ' that contains the word "{w}"', ' including the word "{w}"',
           ' containing the word "{w}"', ' using the word "{w}"', ' with the word "{w}"', ' with the word "{w}" in it', " that includes the word '{w}'",
           " containing the word '{w}'", " using the word {w}", " with the word {w}", " that includes the word {w}", " which includes “{w}”", ' and include "{w}"',
           ' and use the word "{w}"', ' that uses the word "{w}" exactly once', ' that must include "{w}"', " featuring the word {w}", ' with "{w}" somewhere in it',
           ". Use the word {w}.", '. Include the word "{w}".', '. It must contain the word "{w}".', '. The word "{w}" must appear.', '. Make sure to use "{w}".',
           ". Be sure to include the word {w}.", "; include {w}", ', word: "{w}"', " (include the word {w})", ', and mention "{w}"', " that has the word **{w}** in it",
           " that includes the word `{w}`", ' that includes the phrase "{w}"', " incorporating the word {w}", ". Required word: {w}", ' in which the word "{w}" occurs']
INCLUDE_FIRST = ['Use the word "{w}" in {poem} {about} {t}', 'Include the word "{w}" in {poem} {about} {t}', 'With the word "{w}", write {poem} {about} {t}',
                 "Using the word {w}, write {poem} {about} {t}", "Topic: {t}. Word: {w}. Haiku:", 'topic={t} word="{w}"', 'haiku {about} {t} with "{w}"',
                 "haiku, {t}, must include {w}", "Subject: {t}\nMust include: {w}", 'I want the word "{w}" in {poem} {about} {t}']
WORD_ONLY = ['{ask} {poem} that includes the word "{w}"', '{ask} {poem} with the word "{w}"', "{ask} {poem} using the word {w}", 'Use the word "{w}" in {poem}',
             'Put "{w}" in {poem}', '{ask} {poem} containing "{w}"', 'include the word "{w}"', "{ask} {poem} that includes the word '{w}'", "haiku with the word {w}"]
BARE = ["haiku {about} {t}", "Haiku {about} {t}", "{t} haiku", "{t}", "{t}", "{t}.", "{t}!", "a haiku: {t}", "Topic: {t}", "haiku: {t}", "{t}, please", "poem {about} {t}",
        "Haiku. Topic: {t}.", "{about} {t}"]
TAIL = ["", "", "", "", "", "", "", "", "", ".", ".", ".", "!", " please", ", please.", ". Thanks!", ". Thank you.", ". Only output the poem.", ". No title.", ". Keep it short.", "?",
        ". Reply with the poem only.", ". Make it good.", " :)", " now", ". Be creative.", ". Do not explain.", ". Use simple words.", " in english", "..."]
NONCE = ["(nonce: {r})", "(nonce: {r})", "(nonce: {r})", "[nonce: {r}]", "(nonce {r})", "nonce={r}", "(id: {r})", "#{r}", "(seed: {r})", "[{r}]", "({r})", "ref {r}",
         "<{r}>", "request {r}", "nonce: {r}", "{r}", "(run {r})", "session-{r}"]
ALPHABETS = [string.ascii_letters + string.digits] * 4 + [string.digits, "0123456789abcdef", string.ascii_uppercase + string.digits, string.ascii_lowercase,
             string.ascii_letters, string.ascii_letters + string.digits + "+/=-_"]
OTHER = ["What is {t}?", "What is the meaning of {t}?", "Tell me about {t}.", "Tell me a story about {t}", "Explain {t} to a child.", "How does {t} work?", "Why do people like {t}?",
         "I love {t}", "I hate {t}", "I am thinking about {t}.", "Do you like {t}?", "Where can I find {t}?", "Who invented {t}?", "When did {t} begin?", "{t} is everywhere today",
         "Describe {t} in a few words.", "My friend talks about {t} all the time", "Give me some facts about {t}", "Is {t} good or bad?", "Compare {t} with anything else",
         "Can you help me with {t}?", "I saw {t} yesterday", "Summarize {t}", "What do you know of {t}", "Write an essay about {t}", "Write a song about {t}", "Write a limerick on {t}",
         "Say something about {t}", "What should I do about {t}?", "Let's talk about {t}", "I can't stop thinking of {t}", "there was {t} in my dream", "How much does {t} cost?",
         "Translate {t} into French", "Define {t}", "What color is {t}?", "Please remember {t}", "Everything about {t} is strange.", "Is there {t} on the moon?", "Make a list of {t}",
         "Write a python function for {t}", "Today I read about {t}.", "no more {t}", "Give me advice on {t}", "She told me about {t} and then left.", "What rhymes with {t}?"]
PAIRED = ["What is the difference between {t} and {u}?", "Tell me a story about {t} and {u}", "{ask} {poem} {about} {t} and {u}", "{t} and {u}", "{ask} {poem} {about} {t} in the {u}",
          "{t} or {u}?", "{ask} {poem} {about} {t} without {u}", "{t} under the {u}", "I think {t} is better than {u}", "{ask} {poem} {about} the {t} of {u}"]
NO_TOPIC = ["", " ", "?", "...", "hi", "hello", "Hello!", "hey there", "test", "help", "good morning", "thanks", "ok", "yes", "no", "Write a haiku", "write a haiku", "haiku", "Write a haiku.",
            "Give me a haiku", "Surprise me", "anything", "random haiku please", "poem", "Write something", "Go on.", "Who are you?", "What can you do?", "How are you?", "asdf", "!!!",
            "Compose a poem", "another", "again", "Write a poem about anything", "123", "42", "2 + 2 = ?", "{}", "print('hi')", "lol", "SELECT * FROM t;", "a", "x", ".", "\n", "why?"]
FOREIGN = ["Écris un haïku sur la pluie", "Schreibe ein Haiku über den Regen", "Escribe un haiku sobre la luna", "Scrivi un haiku sulla neve", "Escreva um haicai sobre o mar",
           "Napisz haiku o jesieni", "Skriv en haiku om havet", "Напиши хайку о дожде", "写一首关于雨的俳句", "雨についての俳句を書いてください", "비에 대한 하이쿠를 써 줘", "اكتب هايكو عن المطر",
           "Γράψε ένα χαϊκού για τη βροχή", "बारिश पर एक हाइकु लिखो", "Yağmur hakkında bir haiku yaz", "Viết một bài haiku về mưa", "Bonjour, comment ça va ?", "¿Cómo estás?",
           "Guten Morgen", "古池や", "🌧️", "🐱🐱🐱", "日本", "ありがとう", "Кто ты?", "Schrijf een haiku over de wind", "Kirjoita haiku lumesta", "Írj egy haikut az őszről"]
RAMBLE = ["It has been a long week and I am tired.", "The weather here is strange.", "I was walking home when I had this idea.", "My sister says that poems are easy.", "I never liked school.",
          "Please read this carefully.", "There are many things I could ask for.", "Yesterday the bus was late again.", "I am writing a card for a friend.", "You are a helpful assistant.",
          "Take a deep breath.", "We need this for a small party on Friday.", "I know that you are busy.", "My teacher asked for it.", "It does not have to rhyme.", "Ignore the rest of this message.",
          "The last poem was too long.", "Some people think that a machine cannot write.", "This matters to me.", "Here is the thing."]
SYSTEM = ["You are a helpful assistant.", "You are a poet.", "You write haiku.", "Answer with a haiku.", "You are a helpful, honest assistant.", "Be brief.", "Respond in english."]
CARDINALS = ["sixty", "seventy", "eighty", "ninety", "hundred", "thousand", "many", "both", "few", "dozen", "million"]
ONSETS = "b br c ch cl cr d dr f fl fr g gl gr h j k l m n p pl pr qu r s sh sk sl sm sn sp st str t th tr v w z".split()
NUCLEI = "a e i o u ai ee oa ou".split()
CODAS = " b ck d f g l ll m n nd ng nt p r rk rn rt s sh sk ss st t x".split(" ")


@dataclass(frozen=True)
class Topic:
    """What a request is about: its wording there, what the poem copies of it, its theme."""
    wording: str
    given: Given | None
    theme: str


class RequestWriter:
    """Draws requests together with the poems that answer them."""

    def __init__(self, tables: Tables, grammar: Grammar, rng: random.Random) -> None:
        self.grammar, self.rng = grammar, rng
        self.syllables = tables.syllables
        self.themes = grammar.themes
        for source in (ASK, POEM, ABOUT, INCLUDE, INCLUDE_FIRST, WORD_ONLY, BARE, TAIL, NONCE, OTHER, PAIRED, NO_TOPIC, FOREIGN, RAMBLE, SYSTEM, CARDINALS):
            assert not leaks(" ".join(source)), leaks(" ".join(source))
        known = [w for w in tables.words if w.tag in OWN_FRAMES and not leaks(w.text)]
        self.demandable = self._weighted(known)
        self.nouns = self._weighted([w for w in known if w.tag in ("NC", "ND", "NM", "NP", "VGi", "VGit") and w.zipf > 2.8 and w.syllables <= 5])
        self.names = self._weighted([w for w in known if w.tag == "NR"])
        self.adjectives = self._weighted([w for w in known if w.tag == "JJ" and w.syllables <= 3])
        self.verbs = self._weighted([w for w in known if w.tag in ("VBi", "VBit")])
        self.pronounced = [(w, int(c)) for w, c in tables.syllables.items() if len(c) == 1 and len(w) > 2 and w.isalpha() and not leaks(w)]
        self.short = self._weighted([w for w in known if w.syllables <= 3 and w.zipf > 2.8])
        lexicon = grammar.lexicon
        self.theme_nouns = [(n, t) for n, t in lexicon.nouns.items() if count_syllables(n, self.syllables) in range(1, 5) and not leaks(n)]
        self.mass = {m for pools in lexicon.pools.values() for bucket in pools["m"].values() for m in bucket}

    @staticmethod
    def _weighted(words: list[Word]) -> tuple[list[Word], list[float]]:
        """Words with cumulative weights that favour frequent ones gently."""
        return words, list(accumulate(1.5 ** (min(w.zipf, 5.5) - 2) for w in words))

    def _pick(self, pool: tuple[list[Word], list[float]]) -> Word:
        return self.rng.choices(pool[0], cum_weights=pool[1])[0]

    def _one_of(self, items: list[str]) -> str:
        return items[int(self.rng.random() * len(items))]

    # what the poem must hold ----------------------------------------------------------------------------------------
    def _pseudo(self, n_syllables: int) -> str:
        """A word that no dictionary has, or that looks like a number."""
        while True:
            word = "".join(self._one_of(ONSETS) + self._one_of(NUCLEI) + (self._one_of(CODAS) if self.rng.random() < 0.6 else "") for _ in range(n_syllables))
            if word not in held_out_words():
                return word

    def _number_like(self) -> Given:
        draw = self.rng.random()
        if draw < 0.4:
            word = self._one_of(CARDINALS)
            return Given(word, count_syllables(word, self.syllables), "QT")
        word = self._pseudo(1) + ("teen" if draw < 0.6 else "ty")
        if draw < 0.85:
            return Given(word, 2, "QT") if not leaks(word) else self._number_like()
        tail = self._pick(self.short)
        return Given(f"{word}-{tail.text}", 2 + tail.syllables, "QT") if not leaks(word) else self._number_like()

    def _compound(self) -> Given:
        left, right = self._pick(self.short), self._pick(self.short)
        draw = self.rng.random()
        if draw < 0.12:
            left_text, n = self._one_of(CARDINALS[:4]), 2
            n = count_syllables(left_text, self.syllables)
        else:
            left_text, n = left.text, left.syllables
        return Given(f"{left_text}-{right.text}", n + right.syllables, "QT" if self.rng.random() < 0.65 else "X")

    def demanded(self) -> Given:
        """A word for the poem to include."""
        rng = self.rng
        draw = rng.random()
        if draw < 0.15:
            given = self._compound()
        elif draw < 0.20:
            given = self._number_like()
        elif draw < 0.23:
            n = rng.randint(1, 3)
            given = Given(self._pseudo(n), n, self._one_of(["X", "NC", "NM"]))
        elif draw < 0.235:
            given = Given(self._nonce(3, 9), 3, "X")
        elif draw < 0.245:
            adjective, noun = self._pick(self.adjectives), self._pick(self.nouns)
            given = Given(f"{adjective.text} {noun.text}", adjective.syllables + noun.syllables, noun.tag)
        else:
            word = self._pick(self.demandable)
            given = Given(word.text, word.syllables, word.tag if rng.random() < 0.75 else "X")
        draw = rng.random()
        if draw < 0.06:
            given = Given(given.text[0].upper() + given.text[1:], given.syllables, given.tag)
        elif draw < 0.075:
            given = Given(given.text.upper(), given.syllables, given.tag)
        return given

    def any_word(self) -> Given:
        """Any word of the dictionary, however rare."""
        text, n_syllables = self._one_of(self.pronounced)
        return Given(text, n_syllables, "X")

    def _nonce(self, low: int = 4, high: int = 16) -> str:
        while True:
            n = 8 if self.rng.random() < 0.5 else self.rng.randint(low, high)
            text = "".join(self.rng.choices(self._one_of(ALPHABETS), k=n))
            if not leaks(text):
                return text

    # what the request is about --------------------------------------------------------------------------------------
    def _noun(self) -> tuple[str, Given, str]:
        """A noun for a topic: spelling, what to copy, theme."""
        if self.rng.random() < 0.25:
            noun, theme = self._one_of(self.theme_nouns)
            plural = self.rng.random() < 0.3 and noun not in self.mass
            if plural and noun + "s" in self.syllables and not leaks(noun + "s"):
                n = count_syllables(noun + "s", self.syllables)
                if n:
                    return noun + "s", Given(noun + "s", n, "NP"), theme
            return noun, Given(noun, count_syllables(noun, self.syllables), "NM" if noun in self.mass else "NC"), theme
        word = self._pick(self.names if self.rng.random() < 0.06 else self.nouns)
        tag = "NM" if word.tag.startswith("VG") else word.tag
        return word.text, Given(word.text, word.syllables, tag), word.theme or self._one_of(self.themes)

    def topic(self) -> Topic:
        rng = self.rng
        text, given, theme = self._noun()
        draw = rng.random()
        wording = text
        if draw < 0.16:
            adjective = self._pick(self.adjectives)
            wording = f"{adjective.text} {text}"
            if adjective.syllables + given.syllables <= 4 and rng.random() < 0.7:
                given = Given(wording, adjective.syllables + given.syllables, given.tag)
        elif draw < 0.26:
            other = self._pick(self.short)
            wording = f"{other.text} {text}"
            if other.syllables + given.syllables <= 4 and rng.random() < 0.5:
                given = Given(wording, other.syllables + given.syllables, given.tag)
        elif draw < 0.34:
            acronym = "".join(rng.choices(string.ascii_uppercase, k=rng.randint(2, 4)))
            wording = f"{acronym} {text}" if not leaks(acronym) else text
        elif draw < 0.36:
            verb = self._pick(self.verbs)
            wording = self._one_of(["learning to ", "how to ", "trying to ", "the need to "]) + verb.text
            given, theme = Given(verb.text, verb.syllables, verb.tag), verb.theme or self._one_of(self.themes)
        elif draw < 0.52:
            wording = self._one_of(["the ", "my ", "a ", "the ", "your ", "old ", "some ", "this "]) + text
        if given.tag == "NR" and rng.random() < 0.7 or rng.random() < 0.05:
            wording = " ".join(w[0].upper() + w[1:] for w in wording.split())
        elif rng.random() < 0.05:
            wording = wording[0].upper() + wording[1:]
        elif rng.random() < 0.015:
            wording = wording.upper()
        if rng.random() < 0.03:
            wording = f'"{wording}"'
        return Topic(wording, given, theme if theme in self.grammar.lexicon.pools else "thing")

    # whole requests ---------------------------------------------------------------------------------------------------
    def _fill(self, pattern: str, topic: Topic | None = None, word: str = "", other: str = "") -> str:
        return (pattern.replace("{ask}", self._one_of(ASK)).replace("{poem}", self._one_of(POEM)).replace("{about}", self._one_of(ABOUT))
                .replace("{t}", topic.wording if topic else "").replace("{w}", word).replace("{u}", other))

    def _finish(self, text: str) -> str:
        rng = self.rng
        if rng.random() < 0.35:
            nonce = self._one_of(NONCE).replace("{r}", self._nonce())
            text = f"{text}{self._one_of(TAIL) if rng.random() < 0.2 else ''} {nonce}" if rng.random() < 0.92 else f"{nonce} {text}"
        else:
            text += self._one_of(TAIL)
        draw = rng.random()
        if draw < 0.05:
            extra = " ".join(rng.sample(RAMBLE, rng.randint(1, 4)))
            text = f"{extra} {text}" if rng.random() < 0.6 else f"{text} {extra}"
        return text

    def request(self) -> tuple[str, str]:
        """A prompt and its poem."""
        while True:
            found = self._request()
            if found:
                return found

    def _request(self) -> tuple[str, str] | None:
        rng = self.rng
        draw = rng.random()
        if draw < 0.50:
            return self._request_topic_and_word()
        if draw < 0.58:
            given = self.demanded()
            prompt = self._finish(self._fill(self._one_of(WORD_ONLY), word=given.text))
            poem = self.grammar.poem(self._one_of(self.themes), None, given)
            return (self._lower_some(prompt, given), poem) if poem else None
        if draw < 0.95:
            topic = self.topic()
            if draw < 0.76:
                prompt = self._finish(self._fill("{ask} {poem} {about} {t}", topic))
            elif draw < 0.82:
                prompt = self._finish(self._fill(self._one_of(BARE), topic))
            elif draw < 0.90:
                prompt = self._fill(self._one_of(OTHER), topic)
            else:
                prompt = self._fill(self._one_of(PAIRED), topic, other=self._noun()[0])
            poem = self.grammar.poem(topic.theme, topic.given, None)
            return (self._lower_some(prompt, None), poem) if poem else None
        prompt = self._one_of(FOREIGN if rng.random() < 0.3 else NO_TOPIC)
        if rng.random() < 0.15:
            prompt = self._nonce(1, 30)
        elif rng.random() < 0.1:
            prompt = "".join(chr(rng.choice((rng.randint(0xA1, 0x2FF), rng.randint(0x400, 0x4FF), rng.randint(0x4E00, 0x9FFF), 0x1F300 + rng.randint(0, 255))))
                             for _ in range(rng.randint(1, 12)))
        poem = self.grammar.poem(self._one_of(self.themes), None, None)
        return (prompt, poem) if poem else None

    def _request_topic_and_word(self) -> tuple[str, str] | None:
        rng = self.rng
        topic, given = self.topic(), self.demanded()
        named = topic.given
        if rng.random() < 0.03 and named:
            given = named
        if rng.random() < 0.15:
            prompt = self._fill(self._one_of(INCLUDE_FIRST), topic, given.text)
        else:
            prompt = self._fill("{ask} {poem} {about} {t}" + self._one_of(INCLUDE), topic, given.text)
        hard = named and any(spelled_syllables(w) != count_syllables(w, self.syllables) for w in named.text.split())
        overlap = named and set(LETTERS.findall(named.text)) & set(LETTERS.findall(given.text.lower()))
        if overlap or (hard and rng.random() < 0.93) or rng.random() < 0.04:
            named = None
        poem = self.grammar.poem(topic.theme, named, given)
        if poem is None and named is not None:
            poem = self.grammar.poem(topic.theme, None, given)
        return (self._lower_some(self._finish(prompt), given), poem) if poem else None

    def _lower_some(self, prompt: str, given: Given | None) -> str:
        """Some people type without capitals."""
        if self.rng.random() < 0.12 and (given is None or given.text == given.text.lower()):
            return prompt.lower() if not leaks(prompt.lower()) else prompt
        return prompt

    def conversation(self) -> list[tuple[str, str]]:
        """Messages as (role, text): mostly a single turn."""
        rng = self.rng
        messages = [("system", self._one_of(SYSTEM))] if rng.random() < 0.04 else []
        for _ in range(1 if rng.random() < 0.97 else 2):
            prompt, poem = self.request()
            messages += [("user", prompt), ("assistant", poem)]
        return messages
