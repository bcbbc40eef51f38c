"""The experiments behind the ledger: each claim's comparisons exist, are fair, and run; judging their records."""

import json
import re

import pytest
import torch

from kdtutor import data
from kdtutor.commands.main import main
from kdtutor.course.claims import CLAIMS, ClaimFinding
from kdtutor.course.evidence import details, ledger, running
from kdtutor.course.evidence.digits import Digits
from kdtutor.course.evidence.protocol import Experiment, Plan, check_fair
from kdtutor.course.evidence.rows import EVIDENCE
from kdtutor.course.evidence.running import studies_of
from kdtutor.course.evidence.studies import STUDIES, small_student
from kdtutor.course.records import Records, pack_wrong
from kdtutor.course.teachers import load_teacher
from kdtutor.models import count_parameters


@pytest.fixture(scope="module")
def experiments(tmp_path_factory):
    """All experiments on the built-in digits, small, by study and name."""
    digits = Digits("strokes", tmp_path_factory.mktemp("evidence"), quick=True)
    digits.wide_answers = digits.answers  # a second teacher, which is MNIST's alone
    return {study: {one.name: one for one in make(digits)} for study, make in STUDIES.items()}


class TestExperiments:
    def test_every_comparison_is_of_arms_that_exist(self, experiments):
        for claim, evidence in EVIDENCE.items():
            assert claim in CLAIMS
            for comparison in [*evidence.decides, *evidence.beside]:
                experiment = experiments[comparison.study][comparison.experiment]
                if isinstance(experiment, Experiment):
                    assert {comparison.a, comparison.b} <= {arm.name for arm in experiment.arms}

    def test_every_experiment_is_fair(self, experiments):
        for study in experiments.values():
            for experiment in study.values():
                if isinstance(experiment, Experiment):
                    check_fair(experiment, Plan())

    def test_every_claim_of_the_ledger_has_evidence_or_a_formula(self):
        from_notebooks = {"smooths", "look-alikes", "T squared", "entropy", "variance"}
        assert {*EVIDENCE} | from_notebooks == {*CLAIMS}

    def test_studies_are_found_by_claim(self):
        assert studies_of(["faster"]) == ["views"]
        assert studies_of([]) == [*STUDIES]
        with pytest.raises(ValueError, match=r"claims must be among .*, got 'fast'"):
            studies_of(["faster", "fast"])

    def test_the_small_student_is_small(self):
        teacher, _ = load_teacher("strokes")
        assert count_parameters(small_student.student()) <= count_parameters(teacher) / 10
        assert small_student.multiply_adds(small_student.student()) <= small_student.multiply_adds(teacher) / 10


class TestCommand:
    def test_runs_resumes_and_prints_verdicts(self, tmp_path, capsys):
        command = ["evidence", "reverse", "--data", "strokes", "--quick", "--out", str(tmp_path)]
        assert main(command) == 0
        printed = capsys.readouterr().out
        assert re.search(r"reverse +(holds|fails|no difference|undecided) +2,000 labels", printed)
        assert "A quick look: two seeds and few images decide nothing" in printed
        records = tmp_path / "strokes-quick" / "generations.jsonl"  # not among those of full runs
        before = records.read_bytes()
        assert main(command) == 0
        assert records.read_bytes() == before

    def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_trained(self, tmp_path, capsys):
        (tmp_path / "file").touch()
        assert main(["evidence", "reverse", "--data", "strokes", "--quick", "--out", str(tmp_path / "file")]) == 1
        printed = capsys.readouterr()
        assert printed.out == ""
        assert re.search(r"generations\.jsonl can't be written \(Not a directory\)", printed.err)

    def test_a_second_data_set_that_is_missing_is_said_before_anything_is_trained(self, tmp_path, monkeypatch):
        def without_mnist(name, **_):
            if name == "mnist":
                raise data.DataError("MNIST isn't here")
            return load(name)

        load = data.load
        monkeypatch.setattr(data, "load", without_mnist)
        with pytest.raises(data.DataError, match="MNIST isn't here"):
            running.run(["reverse", "domain"], "strokes", tmp_path / "new", quick=True)
        assert not (tmp_path / "new").exists()

    def test_interrupted_at_the_verdicts_it_says_what_is_kept(self, tmp_path, monkeypatch, capsys):
        def interrupted(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr(running, "run", lambda *_: None)
        monkeypatch.setattr(ledger, "text", interrupted)
        assert main(["evidence", "--data", "strokes", "--out", str(tmp_path)]) == 130
        assert "keeps the finished trainings" in capsys.readouterr().out

    def test_a_quick_student_learns_at_some_rate(self, tmp_path):
        running.run(["higher rate"], "strokes", tmp_path, quick=True)
        assert len(Records(tmp_path / "stable-rates.jsonl").rows("measurement")) == 2

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["reverse", "--data", "cifar"], "data must be one of mnist, usps, strokes, fashion, got 'cifar'"),
            (["reversed", "--data", "strokes"], "claims must be among .*, got 'reversed'"),
        ],
    )
    def test_says_what_it_does_not_know(self, arguments, message, tmp_path, capsys):
        assert main(["evidence", *arguments, "--out", str(tmp_path)]) == 1
        assert re.search(message, capsys.readouterr().err)


def write(folder, claim, difference, seeds=10, images=1000):
    """Records of what decides about a claim of errors: b makes so many more errors of `images` than a, of 100."""
    for comparison in EVIDENCE[claim].decides:
        records = Records(folder / f"{comparison.study}.jsonl")
        for arm, errors in ((comparison.a, 100), (comparison.b, 100 + difference)):
            key = {"experiment": comparison.experiment, "arm": arm}
            for lr in (1e-3, 3e-3, 1e-2):
                records.add("choice", lambda **_: {"validation": [1.0, 2.0, 3.0]}, **key, lr=lr)
            for seed in range(seeds):
                order = torch.randperm(images, generator=torch.Generator().manual_seed(seed))
                wrong = torch.zeros(images, dtype=torch.bool)
                wrong[order[:errors]] = True
                row = {"wrong": pack_wrong(wrong), "images": images, "chosen": {"lr": 3e-3, "epochs": 10, "alpha": 0.0}}
                numbers = dict.fromkeys(["errors", *details.PROBABILITIES], 10.0 * errors)
                records.add("result", lambda r=row, n=numbers, **_: {**r, **n, "at_limit": []}, **key, seed=seed)
        records("finished", lambda **_: {}, experiment=comparison.experiment)


class TestLedger:
    def test_judges_by_the_intervals(self, tmp_path):
        write(tmp_path, "born again", 40)
        write(tmp_path, "reverse", -40)
        write(tmp_path, "assistant", 0)
        verdicts = {claim: judgement.verdict for claim, judgement in ledger.judge(tmp_path).items()}
        assert verdicts == {"born again": "fails", "reverse": "holds", "assistant": "no difference"}

    def test_a_claim_without_records_is_left_out(self, tmp_path):
        write(tmp_path, "born again", 40)
        assert [*ledger.judge(tmp_path)] == ["born again"], "of its study the claim 'mutual' lacks an arm"

    def test_half_an_experiment_is_not_judged(self, tmp_path):
        write(tmp_path, "reverse", -40)
        path = tmp_path / "generations.jsonl"
        path.write_text("".join(line for line in path.open() if '"finished"' not in line))
        assert ledger.judge(tmp_path) == {}

    def test_the_more_claims_the_wider_the_intervals(self, tmp_path, monkeypatch):
        asked = []
        real = ledger.difference

        def difference(records, comparison, confidence=0.95):
            asked.append(confidence)
            return real(records, comparison, confidence)

        monkeypatch.setattr(ledger, "difference", difference)
        write(tmp_path, "born again", 40)
        write(tmp_path, "reverse", -40)
        ledger.judge(tmp_path)
        assert max(asked) == pytest.approx(0.975)

    def test_prints_a_table(self, tmp_path):
        write(tmp_path, "born again", 40)
        assert "born again" in ledger.text([], tmp_path)
        assert "+400 (" in ledger.text(["born again"], tmp_path)


class TestShipped:
    def test_findings_are_whole(self):
        for claim in EVIDENCE:
            finding = ledger.finding(claim)
            assert isinstance(finding, ClaimFinding)
            assert finding.verdict in ("holds", "fails", "no difference", "undecided")
            assert "to" in finding.effect
            assert finding.elsewhere

    def test_an_unknown_claim_is_refused(self):
        with pytest.raises(ValueError, match=r"claim must be one of .*, got 'smooths'"):
            ledger.finding("smooths")

    def test_no_choice_is_by_a_seed_of_the_results(self):
        for folder in ("mnist", "usps"):
            for claim in ledger.shipped(folder).values():
                for seen in [*claim.decides, *claim.beside]:
                    path = ledger.data.shipped() / "evidence" / folder / f"{seen.comparison.study}.jsonl"
                    rows = Records(path).rows("result")
                    assert not {row["settings"]["seed"] for row in rows} & {100, 101, 102}

    def test_details_have_every_arm(self):
        table = details.markdown()
        for comparison in [one for evidence in EVIDENCE.values() for one in evidence.decides]:
            assert comparison.a in table

    def test_records_are_small(self):
        folder = ledger.data.shipped() / "evidence"
        assert sum(path.stat().st_size for path in folder.rglob("*.jsonl")) < 3e6
        for path in folder.rglob("*.jsonl"):
            for line in path.read_text().splitlines():
                assert {"kind", "settings"} <= json.loads(line).keys()
