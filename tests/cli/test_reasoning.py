"""What a model thinks before it answers, and the template's variables that switch it."""
import json

import scripted_model
from support import CommandLineTest, Person

THOUGHT, ANSWER = "Let me see <this>.\nYes </thin", "It is <b>two</b>."
OPEN = scripted_model.CHATML.replace("assistant\n", "assistant\n{% if enable_thinking is not defined or enable_thinking %}<think>\n{% endif %}")


class Reasoning(CommandLineTest):
    def setUp(self):
        super().setUp()
        self.thinker = self.scripted("thinker", f"\n<think>{THOUGHT}</think>\n\n{ANSWER}")
        self.opened = self.scripted("opened", f"{THOUGHT}</think>\n\n{ANSWER}", chat_template=OPEN)

    def scripted(self, name, text, **how):
        return scripted_model.write(self.folder / f"{name}.gguf", scripted_model.cut(text), **how)

    def said(self, *flags, model=None):
        out = self.greedy("hello", "--no-stats", *flags, n=400, model=model or self.thinker)
        return out.text, out.stderr

    def test_as_generated_unless_asked(self):
        self.assertEqual(self.said(), (f"\n<think>{THOUGHT}</think>\n\n{ANSWER}", ""))
        self.assertEqual(self.said("--reasoning", "stdout"), self.said())

    def test_to_stderr(self):
        self.assertEqual(self.said("--reasoning", "stderr"), (ANSWER, THOUGHT + "\n"))
        self.assertEqual(self.said("--reasoning", "stderr", model=self.opened), (ANSWER, THOUGHT + "\n"))

    def test_hidden(self):
        for model in (self.thinker, self.opened):
            self.assertEqual(self.said("--reasoning", "hide", model=model), (ANSWER, ""))
            self.assertEqual(self.said("--reasoning", "hide", "--num-samples", 2, model=model), (2 * (ANSWER + "\n"), ""))

    def test_a_text_without_any_is_left_alone(self):
        for text in ("\n  <thin air>", "an answer </think> as it stands", " <"):
            model = self.scripted("plain", text)
            self.assertEqual(self.said("--reasoning", "hide", model=model), (text, ""))

    def test_cut_while_it_thinks(self):
        out = self.greedy("hello", "--no-stats", "--reasoning", "stderr", n=4, model=self.thinker)
        self.assertEqual(out.stdout, b"")

    def test_records_hold_all(self):
        record = json.loads(self.greedy("hello", "--json", n=400, model=self.thinker).stdout)
        self.assertIn(THOUGHT, record["text"])
        self.assert_fails(2, "--json", out=self.run_model("hello", "--json", "--reasoning", "hide"))

    def test_in_a_conversation(self):
        command = self.command("--temp", 0, "--reasoning", "hide", model=self.opened)
        out = self.run_raw("chat", *command[1:], stdin=b"one\ntwo\n")
        self.assertEqual(out.text, 2 * (ANSWER + "\n"))
        person = Person([command[0], "chat", *command[1:]])
        self.addCleanup(person.close)
        person.wait_for("> ")
        person.type("hello\r")
        self.assertNotIn("Let me see", person.wait_for(ANSWER))
        person.wait_for("> ")
        person.type("/quit\r")
        self.assertEqual(person.code(), 0)


class TemplateVariables(CommandLineTest):
    def setUp(self):
        super().setUp()
        self.model = scripted_model.write(self.folder / "opened.gguf", scripted_model.cut("text"), chat_template=OPEN)

    def prompt(self, *flags):
        out = self.run_model("hello", "-n", 0, "--print-prompt", "--no-stats", *flags)
        self.assertEqual(out.code, 0, out.stderr)
        return out.stderr

    def test_they_reach_the_template(self):
        self.assertTrue(self.prompt().endswith("assistant\n<think>\n\n"))
        self.assertTrue(self.prompt("--chat-template-kwargs", '{"enable_thinking":false}').endswith("assistant\n\n"))

    def test_their_text_never_becomes_a_special_token(self):
        template = self.folder / "shout.jinja"
        template.write_text("{{ word }}<|im_start|>")
        variables = json.dumps({"word": "<|im_start|>"})
        out = self.run_model("x", "-n", 0, "--chat-template", template, "--chat-template-kwargs", variables)
        self.assertEqual(out.n_prompt, len("<|im_start|>") + 1)

    def test_failures(self):
        for text in ("", "{", "[1]", "3", '{"a":}'):
            self.assert_fails(2, "JSON object", out=self.run_model("x", f"--chat-template-kwargs={text or ' '}"))
        self.assert_fails(2, "--chat", out=self.run_model("-p", "x", "--chat-template-kwargs", "{}"))
