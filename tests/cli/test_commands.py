"""The commands beside generating: info, tokenize, detokenize, devices, completions, and help in all its forms."""
import json
import re
import shutil
import subprocess
import tempfile

from support import CommandLineTest, Person


class Commands(CommandLineTest):
    def run_tool(self, command, *arguments, **how):
        out = self.run_raw(command, "-m", self.model, *arguments, **how)
        self.assertEqual(out.code, 0, out.stderr)
        self.assertEqual(out.stderr, "")
        return out

    def vocabulary_only(self):
        """The tiny model without its tensors, as llama.cpp's ggml-vocab-*.gguf are."""
        data = self.model.read_bytes()
        names = (b"token_embd.weight", b"output_norm.weight", b"blk.0.attn_norm.weight")
        directory = min(data.index(len(name).to_bytes(8, "little") + name) for name in names)
        path = self.folder / "vocabulary.gguf"
        path.write_bytes(data[:8] + (0).to_bytes(8, "little") + data[16:directory])
        return path


class Info(Commands):
    def test_text(self):
        out = self.run_tool("info")
        for words in ("qwen2", "Q8_0", "26 tensors", "context        512", "chat template  yes"):
            self.assertIn(words, out.text)

    def test_positional_model(self):
        self.assertEqual(self.run_raw("info", self.model).stdout, self.run_tool("info").stdout)

    def test_json(self):
        info = json.loads(self.run_tool("info", "--json").stdout)
        self.assertEqual((info["schema"], info["arch"], info["quant"], info["context_length"]), (1, "qwen2", "Q8_0", 512))
        self.assertIn("<|im_start|>", info["chat_template"])
        self.assertEqual(sum(t["tensors"] for t in info["types"]), info["tensor_count"])
        self.assertEqual(sum(t["elements"] for t in info["types"]), info["parameters"])
        self.assertNotIn("tensors", info)

    def test_tensors_and_metadata(self):
        info = json.loads(self.run_tool("info", "--json", "--tensors", "--metadata").stdout)
        self.assertEqual(len(info["tensors"]), info["tensor_count"])
        self.assertEqual(info["metadata"]["general.architecture"], "qwen2")
        self.assertEqual(info["metadata"]["tokenizer.ggml.tokens"]["length"], info["vocabulary"])
        text = self.run_tool("info", "--tensors", "--metadata").text
        self.assertIn("blk.1.ffn_down.weight", text)
        self.assertIn("key  general.architecture = \"qwen2\"", text)

    def test_a_vocabulary_alone(self):
        info = json.loads(self.run_raw("info", self.vocabulary_only(), "--json").stdout)
        self.assertEqual((info["tensor_count"], info["quant"]), (0, "none"))
        self.assertGreater(info["vocabulary"], 256)

    def test_an_architecture_that_is_not_supported(self):
        path = self.folder / "other.gguf"
        path.write_bytes(self.model.read_bytes().replace(b"qwen2", b"qwenX"))
        out = self.run_raw("info", path, "--json")
        self.assertEqual((out.code, json.loads(out.stdout)["arch"]), (0, "qwenX"))

    def test_failures(self):
        self.assert_fails(3, out=self.run_raw("info", "no-such.gguf"))
        self.assert_fails(3, "GGUF", out=self.run_raw("info", __file__))


class Tokenize(Commands):
    TEXTS = ["hello there", "  two blanks", "line\nline\n", "é 🎉 ⁧x", "<|im_start|>user", ""]

    def ids(self, text, *flags):
        return json.loads(self.run_tool("tokenize", "--ids", *flags, stdin=text.encode()).stdout)

    def test_forms_agree(self):
        for text in self.TEXTS:
            with self.subTest(text):
                ids = self.ids(text)
                record = json.loads(self.run_tool("tokenize", "--json", stdin=text.encode()).stdout)
                self.assertEqual(record["ids"], ids)
                self.assertEqual([t["id"] for t in record["tokens"]], ids)
                self.assertEqual(record["count"], len(ids))
                lines = self.run_tool("tokenize", stdin=text.encode()).text.splitlines()
                self.assertEqual([int(line.split(" -> ")[0]) for line in lines], ids)

    def test_sources_of_the_text(self):
        path = self.folder / "text.txt"
        path.write_text("hello there\n")
        want = self.ids("hello there")
        for flags in (["-p", "hello there"], ["hello there"], ["-f", path]):
            self.assertEqual(json.loads(self.run_tool("tokenize", "--ids", *flags, stdin=b"not this").stdout), want)
        self.assertEqual(self.ids("hello there", "--stdin"), want)

    def test_ids_as_llama_tokenize_writes_them(self):
        self.assertRegex(self.run_tool("tokenize", "--ids", "hello").text, r"^\[\d+(, \d+)*\]\n$")

    def test_count(self):
        text = self.run_tool("tokenize", "--ids", "--show-count", "hello").text
        self.assertEqual(text.splitlines()[1], f"Total number of tokens: {len(self.ids('hello'))}")

    def test_special_tokens(self):
        self.assertEqual(len(self.ids("<|im_start|>")), 1)
        self.assertGreater(len(self.ids("<|im_start|>", "--no-parse-special")), 5)

    def test_there_and_back(self):
        for text in self.TEXTS:
            with self.subTest(text):
                for form in (["--ids"], ["--json"]):
                    ids = self.run_tool("tokenize", "--no-parse-special", *form, stdin=text.encode()).stdout
                    self.assertEqual(self.run_tool("detokenize", stdin=ids).text, text)

    def test_a_vocabulary_alone(self):
        ids = self.run_raw("tokenize", "-m", self.vocabulary_only(), "--ids", "hello there").stdout
        self.assertEqual(json.loads(ids), self.ids("hello there"))
        self.assertEqual(self.run_raw("detokenize", "-m", self.vocabulary_only(), stdin=ids).text, "hello there")

    def test_usage(self):
        self.assert_fails(2, "--stdin", out=self.run_raw("tokenize", "-m", self.model, "--stdin", "-p", "x"))
        self.assert_fails(2, "--json", out=self.run_raw("tokenize", "-m", self.model, "--ids", "--json", "x"))
        self.assert_fails(8, "byte 3", out=self.run_raw("tokenize", "-m", self.model, stdin=b"caf\xe9"))


class Detokenize(Commands):
    def test_forms_of_ids(self):
        ids = json.loads(self.run_tool("tokenize", "--ids", "hello there").stdout)
        words = [str(i) for i in ids]
        for stdin in (" ".join(words), "\n".join(words), ",".join(words), json.dumps(ids), json.dumps({"ids": ids, "x": 1})):
            self.assertEqual(self.run_tool("detokenize", stdin=stdin.encode()).text, "hello there")
        self.assertEqual(self.run_tool("detokenize", *words).text, "hello there")

    def test_special_tokens_only_when_asked(self):
        ids = self.run_tool("tokenize", "--ids", "<|im_start|>x").stdout
        self.assertEqual(self.run_tool("detokenize", stdin=ids).text, "x")
        self.assertEqual(self.run_tool("detokenize", "--special", stdin=ids).text, "<|im_start|>x")

    def test_exact_bytes(self):
        ids = json.loads(self.run_tool("tokenize", "--ids", "é").stdout)
        if len(ids) == 2:  # each half alone
            self.assertEqual(self.run_tool("detokenize", ids[0]).stdout, b"\xc3")

    def test_failures(self):
        for stdin, word in ((b"1 2 x", "'x'"), (b"[1, \"a\"]", "ids[1]"), (b"99999999", "99999999"), (b"{\"a\": 1}", "ids")):
            self.assert_fails(8, word, out=self.run_raw("detokenize", "-m", self.model, stdin=stdin))
        self.assert_fails(8, "-3", out=self.run_raw("detokenize", "-m", self.model, "--", "-3"))


class Devices(Commands):
    def test_the_cpu_is_there(self):
        out = self.run_raw("devices")
        self.assertEqual(out.code, 0, out.stderr)
        self.assertRegex(out.text, r"^cpu +\d+ threads\n")
        same = self.run_raw("--list-devices").text
        free = r"[\d.]+ GiB of"  # of a GPU, which others use too
        self.assertEqual(re.sub(free, "", same), re.sub(free, "", out.text))
        devices = json.loads(self.run_raw("devices", "--json").stdout)["devices"]
        self.assertEqual(devices[0]["device"], "cpu")


class Help(Commands):
    COMMANDS = ("chat", "info", "tokenize", "detokenize", "bench", "diagnose", "devices", "completions")

    def options_of(self, text):
        return set(re.findall(r"^ +(?:-\w, )?(?:    )?(--[a-z0-9-]+)", text, re.MULTILINE))

    def test_two_screens(self):
        lines = self.run_raw("--help").text.splitlines()
        self.assertLessEqual(len(lines), 110)
        self.assertLessEqual(max(map(len, lines)), 110)
        self.assertIn("haikuda -m", "\n".join(lines[:4]), "examples come first")

    def test_each_command_has_help(self):
        for command in self.COMMANDS:
            out = self.run_raw(command, "--help")
            self.assertEqual((out.code, out.stderr), (0, ""))
            self.assertIn(f"haikuda {command}", out.text)
            self.assertIn(command, self.run_raw("--help").text)

    def test_help_man_and_completions_list_the_same(self):
        options = self.options_of(self.run_raw("--help").text)
        self.assertGreater(len(options), 50)
        for command in self.COMMANDS:
            options |= self.options_of(self.run_raw(command, "--help").text)
        man = self.run_raw("--man").text.replace("\\-", "-")
        in_man = set(re.findall(r"\\fB(--[a-z0-9-]+)\\fR", man))
        fish = re.sub(r" -d '.*'$", "", self.run_raw("completions", "fish").text, flags=re.MULTILINE)
        in_fish = {"--" + name for name in re.findall(r" -l ([a-z0-9-]+)", fish)}
        bash = self.run_raw("completions", "bash").text
        in_bash = set(re.findall(r"(--[a-z0-9-]+)", " ".join(re.findall(r"compgen -W '(-[^']*)'", bash))))
        zsh = self.run_raw("completions", "zsh").text
        in_zsh = set(re.findall(r"'\*(--[a-z0-9-]+)\[", zsh))
        self.assertEqual(in_man, in_fish)
        self.assertEqual(in_man, in_bash)
        self.assertEqual(in_man, in_zsh)
        self.assertEqual(options - in_man, set())
        self.assertLessEqual(in_man - options, {"--temperature", "--n-predict", "--reverse-prompt", "--display-prompt"}, "other names of options listed")

    def test_the_scripts_are_valid(self):
        for shell in ("bash", "zsh", "fish"):
            script = self.run_raw("completions", shell)
            self.assertEqual(script.code, 0)
            if not shutil.which(shell):
                continue
            with tempfile.NamedTemporaryFile("w") as file:
                file.write(script.text)
                file.flush()
                subprocess.run([shell, "-n", file.name], check=True)

    def test_bash_completes(self):
        script = self.run_raw("completions", "bash").text

        def complete(*words):
            program = f'{script}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($#-1)); _haikuda; printf "%s\\n" "${{COMPREPLY[@]}}"'
            done = subprocess.run(["bash", "-c", program, "bash", *words], capture_output=True, text=True, check=True)
            return done.stdout.split()

        self.assertEqual(complete("haikuda", "--temper"), ["--temperature"])
        self.assertEqual(complete("haikuda", "--truncate", ""), ["no", "head", "middle"])
        self.assertIn("tokenize", complete("haikuda", "tok"))
        self.assertEqual(complete("haikuda", "tokenize", "--show"), ["--show-count"])

    def test_fish_completes(self):
        if not shutil.which("fish"):
            self.skipTest("fish completes")
        script = self.run_raw("completions", "fish").text

        def complete(line):
            program = f"{script}\ncomplete -C '{line}'"
            done = subprocess.run(["fish", "--no-config", "--private", "-c", program], capture_output=True, text=True, check=True, cwd=self.folder)
            self.assertEqual(done.stderr, "")
            return [line.split("\t")[0] for line in done.stdout.splitlines()]

        self.assertEqual(complete("haikuda --te"), ["--temp", "--temperature"])
        self.assertEqual(sorted(complete("haikuda --truncate ")), ["head", "middle", "no"])
        self.assertEqual(complete("haikuda tok"), ["tokenize"])
        self.assertEqual(complete("haikuda tokenize --show"), ["--show-count"])
        self.assertEqual(complete("haikuda tokenize --temp"), [], "an option of another command")
        self.assertEqual(sorted(complete("haikuda completions ")), ["bash", "fish", "zsh"])
        self.assertIn("tiny.gguf", complete("haikuda -m ti"))

    def test_zsh_completes(self):
        if not shutil.which("zsh"):
            self.skipTest("zsh completes")
        functions = self.folder / "zsh"
        functions.mkdir()
        (functions / "_haikuda").write_text(self.run_raw("completions", "zsh").text)
        # What the key Tab makes of a line, as zsh's line editor has it afterwards.
        setup = (f"fpath=({functions} $fpath); autoload -U compinit; compinit -u -D; unsetopt beep; cd {self.folder}\n"
                 "show() { print -r -- \"<<$BUFFER>>\"; BUFFER=; zle accept-line }; zle -N show; bindkey '^X' show\n")
        person = Person(["zsh", "-f", "-i"])
        self.addCleanup(person.close)
        person.type(setup + "print -r -- rea''dy\n")
        person.wait_for("ready")
        for line, want in (("haikuda --tempera", "haikuda --temperature "), ("haikuda tok", "haikuda tokenize "), ("haikuda --truncate mi", "haikuda --truncate middle "),
                           ("haikuda tokenize --show", "haikuda tokenize --show-count "), ("haikuda tokenize --temp", "haikuda tokenize --temp"),
                           ("haikuda completions z", "haikuda completions zsh "), ("haikuda -m tin", "haikuda -m tiny.gguf ")):
            person.type(line + "\t\x18")
            self.assertIn(f"<<{want}>>", person.wait_for(">>"), line)

    def test_the_manual_page_is_accepted(self):
        if not shutil.which("groff"):
            self.skipTest("groff checks the manual page")
        done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z"], input=self.run_raw("--man").stdout, capture_output=True, check=True)
        self.assertEqual(done.stderr, b"")
