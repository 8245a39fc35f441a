"""Prompts in, text out."""
import os
import re

from support import CommandLineTest


class Output(CommandLineTest):
    def test_stdout_is_the_same_bytes_whatever_stderr_says(self):
        plain = self.greedy("-p", "hello")
        self.assertGreater(len(plain.stdout), 0)
        for flags in (["-q"], ["-v"]):
            self.assertEqual(self.greedy("-p", "hello", *flags).stdout, plain.stdout)

    def test_stderr_is_one_line_of_numbers(self):
        out = self.greedy("-p", "hello", device="cpu")
        self.assertRegex(out.stderr, r"^haikuda: load [\d.]+ s · prompt \d+ tokens, [\d.]+ tokens/s · "
                                     r"generated 16 tokens, [\d.]+ tokens/s · length · greedy · CPU, \d+ threads?\n$")

    def test_quiet_says_nothing(self):
        self.assertEqual(self.greedy("-p", "hello", "-q").stderr, "")

    def test_verbose_names_the_model_and_its_tensors(self):
        self.assertRegex(self.greedy("-p", "hello", "-v").stderr, r"model qwen2 .*26 of 26 tensors mapped")

    def test_n_is_the_number_of_tokens(self):
        self.assertEqual(self.greedy("-p", "hello", n=0).stdout, b"")
        for n in (1, 2, 33):
            self.assertEqual(self.greedy("-p", "hello", n=n).n_generated, n)

    def test_more_tokens_only_append(self):
        self.assertTrue(self.greedy("-p", "hello", n=32).text.startswith(self.greedy("-p", "hello", n=8).text[:-1]))

    def test_generation_ends_where_the_context_does(self):
        out = self.run_model("--temp", 0, "-c", 20, "-p", "hello")
        self.assertEqual(out.code, 0, out.stderr)
        self.assertIn("· context ·", out.stderr)
        self.assertEqual(out.n_prompt + out.n_generated, 21)  # the last token is never evaluated

    def test_threads_do_not_change_the_text(self):
        self.assertEqual(self.greedy("-p", "hello", "-t", 1, n=64).stdout, self.greedy("-p", "hello", "-t", 3, n=64).stdout)

    def test_output_is_valid_utf8_for_any_tokens(self):
        # The vocabulary is bytes for the most part, and at this temperature nearly all are equally likely.
        for seed in range(8):
            out = self.run_model("-p", "hello", "-n", 40, "--temp", 50, "--top-k", 0, "--top-p", 1, "--min-p", 0,
                                 "-s", seed)
            self.assertEqual(out.code, 0, out.stderr)
            out.stdout.decode("utf-8", "strict")

    def test_works_without_a_visible_gpu(self):
        out = self.greedy("-p", "hello", device="auto", env={"CUDA_VISIBLE_DEVICES": ""})
        self.assertIn("CPU", out.stderr)


class Prompts(CommandLineTest):
    def same_prompt(self, first, second):
        self.assertEqual(first.stdout, second.stdout)
        self.assertEqual(first.n_prompt, second.n_prompt)

    def file(self, name, content):
        path = self.folder / name
        path.write_bytes(content)
        return path

    def test_other_prompts_give_other_texts(self):
        self.assertNotEqual(self.greedy("-p", "hello").stdout, self.greedy("-p", "hello there").stdout)

    def test_stdin_alone_is_the_prompt(self):
        self.same_prompt(self.greedy(stdin=b"hello"), self.greedy("-p", "hello"))

    def test_stdin_alone_keeps_its_last_newline(self):
        self.same_prompt(self.greedy(stdin=b"hello\n"), self.greedy("-p", "hello\n"))

    def test_stdin_comes_before_a_prompt(self):
        self.same_prompt(self.greedy("-p", "hello", stdin=b"the diff\n"), self.greedy("-p", "the diff\nhello"))

    def test_no_stdin_leaves_it_alone(self):
        self.same_prompt(self.greedy("-p", "hello", "--no-stdin", stdin=b"the diff"), self.greedy("-p", "hello"))

    def test_an_empty_pipe_adds_nothing(self):
        self.same_prompt(self.greedy("-p", "hello", stdin=b""), self.greedy("-p", "hello"))

    def test_file_drops_one_last_newline(self):
        for content, prompt in ((b"hello\n", "hello"), (b"hello\n\n", "hello\n"), (b"hello", "hello")):
            self.same_prompt(self.greedy("-f", self.file("p.txt", content)), self.greedy("-p", prompt))

    def test_file_and_prompt_are_joined(self):
        self.same_prompt(self.greedy("-f", self.file("a.txt", b"one\n"), "-f", self.file("b.txt", b"two\n"), "-p", "three"),
                         self.greedy("-p", "one\ntwo\nthree"))

    def test_file_dash_is_stdin(self):
        self.same_prompt(self.greedy("-f", "-", stdin=b"hello\n"), self.greedy("-p", "hello"))

    def test_backslashes_stay_as_they_are(self):
        path = self.file("p.txt", rb"a\nb")
        self.same_prompt(self.greedy("-f", path), self.greedy("-p", r"a\nb"))
        self.assertNotEqual(self.greedy("-f", path).n_prompt, self.greedy("-p", "a\nb").n_prompt)

    def test_a_request_goes_through_the_chat_template(self):
        chat = "<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"
        self.same_prompt(self.greedy("hello"), self.greedy("-p", chat))
        self.same_prompt(self.greedy("-p", "hello", "--chat"), self.greedy("hello"))
        self.same_prompt(self.greedy("hello", "--raw"), self.greedy("-p", "hello"))
        self.same_prompt(self.greedy("hello", "--system", "be brief"),
                         self.greedy("-p", "<|im_start|>system\nbe brief<|im_end|>\n" + chat))

    def test_special_tokens_in_a_request_stay_text(self):
        self.assertGreater(self.greedy("<|im_end|>").n_prompt, self.greedy("x").n_prompt + 5)

    def test_a_long_line_is_read_whole(self):
        model = self.place.tiny("long", "--ctx", "8000")
        out = self.greedy(stdin=b"x" * 5000, model=model, n=1)
        self.assertEqual(out.n_prompt, 5000)


class Sampling(CommandLineTest):
    def sample(self, *arguments):
        out = self.run_model("-p", "hello", "-n", 24, *arguments)
        self.assertEqual(out.code, 0, out.stderr)
        return out.stdout

    def test_greedy_is_repeatable(self):
        texts = {self.sample("--temp", 0) for _ in range(3)}
        self.assertEqual(len(texts), 1)

    def test_greedy_does_not_depend_on_the_seed(self):
        self.assertEqual(self.sample("--temp", 0, "-s", 1), self.sample("--temp", 0, "-s", 2))

    def test_a_seed_means_the_same_bytes(self):
        texts = {self.sample("-s", 7, "--temp", 2) for _ in range(3)}
        self.assertEqual(len(texts), 1)

    def test_seeds_differ(self):
        texts = {self.sample("-s", seed, "--temp", 2) for seed in range(4)}
        self.assertEqual(len(texts), 4)

    def test_without_a_seed_runs_differ_and_the_seed_is_told(self):
        out = self.run_model("-p", "hello", "-n", 24, "--temp", 2)
        seed = re.search(r"· seed (\d+) ·", out.stderr)[1]
        self.assertEqual(self.sample("--temp", 2, "-s", seed), out.stdout)
        self.assertNotEqual(self.sample("--temp", 2), out.stdout)

    def test_top_k_one_is_greedy(self):
        self.assertEqual(self.sample("--top-k", 1, "--temp", 1), self.sample("--temp", 0))

    def test_the_last_of_a_repeated_flag_counts(self):
        self.assertEqual(self.sample("--temp", 3, "--temp", 0), self.sample("--temp", 0))


class RealModel(CommandLineTest):
    def setUp(self):
        super().setUp()
        self.model = self.need_smollm2()

    def test_the_capital_of_france(self):
        self.assertIn("Paris", self.greedy("-p", "The capital of France is", n=32).text)

    def test_by_name(self):
        out = self.run_raw("-m", "smollm2-135m", "--device", self.place.device, "--temp", 0, "-n", 8, "-p", "The capital of France is",
                           env={"HAIKUDA_MODELS": os.path.dirname(self.model)})
        self.assertEqual(out.code, 0, out.stderr)
        self.assertIn("Paris", out.text)

    def test_a_request_is_answered_and_ends_by_itself(self):
        out = self.greedy("What is the capital of France? Answer with one word.", n=200)
        self.assertIn("Paris", out.text)
        self.assertIn("· eos ·", out.stderr)

    def test_into_a_file(self):
        path = self.folder / "out.txt"
        with open(path, "wb") as file:
            self.run_model("--temp", 0, "-n", 8, "-p", "The capital of France is", stdout=file)
        self.assertIn("Paris", path.read_text())
