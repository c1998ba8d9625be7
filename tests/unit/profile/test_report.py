"""The HTML report from fixed numbers, and the file of a run that it takes."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from picotrain import cli
from picotrain.device.cycles import CallNode
from picotrain.errors import UserError
from picotrain.image.disassembly import parse
from picotrain.profile.memory.arena import BufferLife, OperationUse, Timeline
from picotrain.profile.memory.image import Section, Span
from picotrain.profile.memory.stack import Frame, StackReport, Step
from picotrain.profile.report.content import (
    Ceiling,
    Cost,
    LayerName,
    MemoryUse,
    OperationCost,
    ReportContent,
    StepCost,
    Subject,
)
from picotrain.profile.report.flame import FlameBox, flame_boxes
from picotrain.profile.report.render import render
from picotrain.profile.report.run_file import Epoch, Run, Saturation, read_run

SECTIONS = [
    *("figures", "accuracy", "saturation", "cycles", "flame"),
    *("arena", "memory", "stack", "provenance"),
]


def cost(cycles: float, macs: int = 0) -> Cost:
    each = cycles / macs if macs else None
    return Cost(cycles, cycles / 125000, each, None if each is None else each / 1.25)


def operation(
    layer: int, kind: str, phase: str, cycles: float, worst: float, macs: int
) -> OperationCost:
    both = cost(cycles, macs), cost(worst, macs)
    return OperationCost(layer, kind, phase, *both, cycles / 125000, macs)


OPERATIONS = (
    operation(0, "conv2d", "forward", 62500.0, 75000.0, 10000),
    operation(1, "linear", "forward", 37500.0, 50000.0, 20000),
    operation(1, "linear", "loss", 1250.0, 1250.0, 0),
    operation(1, "linear", "update", 23750.0, 61250.0, 20000),
)

RUN = Run(
    file="adapt.json",
    target="qemu",
    model="small",
    method="priot",
    dataset="digits",
    angle=30.0,
    seed=7,
    backbone="own.npz",
    network_sha256="cd" * 32,
    options={
        "mu": [4, 3],
        "theta": -16,
        "permille": 100,
        "easy": 0,
        "select": "weight",
        "start": "zero",
        "fused": False,
    },
    calibration="shipped",
    calibration_samples=2048,
    layer_mu=(0, 1),
    plan="fast",
    kernels="tuned",
    train_samples=1024,
    test_samples=400,
    evaluated_on="test",
    accuracy_before=0.3125,
    accuracy_best=0.9375,
    accuracy_final=0.90625,
    history=(Epoch(1, 4, 0.9375, 0.75, 83.25), Epoch(2, 3, 0.90625, 0.875, 39.5)),
    saturation=(
        (Saturation(0.0, 0.0, 0.0), Saturation(0.0125, 0.0, 0.0)),
        (Saturation(0.0, 0.0, 0.25), Saturation(0.0, 0.0, 0.0004)),
    ),
    cycles_per_train_image=120000.0,
    cycles_per_infer_image=100500.0,
    state_sha256="ab" * 32,
    versions={"commit": "abcdef1"},
)

CONTENT = ReportContent(
    subject=Subject(
        model="small",
        method="priot",
        dataset="digits",
        angle=30.0,
        seed=7,
        images=4,
        target="qemu",
        command="picotrain profile --html report.html --run adapt.json",
        versions={"python": "3.11.2", "commit": "abcdef1"},
    ),
    layers=(LayerName(0, "conv2d", True), LayerName(1, "linear", True)),
    run=RUN,
    train=StepCost(cost(1234567.0, 50000), cost(1500000.0, 50000), 50000),
    infer=StepCost(cost(5000000.0, 30000), cost(6000000.0, 30000), 30000),
    operations=OPERATIONS,
    all_operations=StepCost(cost(125000.0, 50000), cost(187500.0, 50000), 50000),
    dispatch=cost(618.0),
    flame=(
        FlameBox("main", 0, 0, 100000, 10, 4),
        FlameBox("dot", 1, 0, 99980, 99980, 8),
        FlameBox("tiny", 1, 99980, 10, 10, 1),
    ),
    flame_cycles=100000,
    arena=Timeline(
        blob=100,
        scores=200,
        transient=64,
        io_minimum=32,
        peak=56,
        buffers=(
            BufferLife("activation[0]", 40, 0, 0, 2, ("forward 0", "loss", "update 0")),
            BufferLife("scratch update(0)", 16, 48, 2, 2, ("update 0",)),
        ),
        operations=(
            OperationUse(0, "forward 0", 40, False),
            OperationUse(1, "loss", 40, False),
            OperationUse(2, "update 0", 56, True),
        ),
    ),
    memory=MemoryUse(
        total=135168,
        limit=270336,
        parts={"code": 100000, "model_table": 35168},
        ceilings=(Ceiling("Flash", 4096, 8192, "all"), Ceiling("Stack", 20, 10, "too little")),
        sections=(Section(".text", 0x20000000, 0x400, 4096, 4096, 4096),),
        ram=(Span(".text", 0x20000000, 4096),),
    ),
    stack=StackReport(
        path=(Step("reset", 16), Step("deep_one", 1000)),
        worst=1016,
        exception_path=(),
        exception=36,
        total=1052,
        reserved=4096,
        frames=(Frame("reset", 16, None, 16),),
        unresolved=(),
    ),
    stack_painted=732,
)


class Outline(HTMLParser):
    """Ids, the rows of each table as text, attributes that load something, and open tags."""

    VOID = frozenset({"meta", "link", "br", "img", "input"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.rows: list[list[str]] = []
        self.loads: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if "id" in values:
            self.ids.append(values["id"])
        self.loads += [values[name] for name in ("src", "href", "xlink:href") if name in values]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.rows and self.open and {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data.replace("\N{NO-BREAK SPACE}", " ").strip()


@pytest.fixture(scope="module")
def page() -> str:
    return render(CONTENT)


def test_all_sections_are_there_and_well_formed(page: str) -> None:
    outline = Outline(page)
    assert outline.open == []
    assert [name for name in outline.ids if name in SECTIONS] == SECTIONS
    assert len(outline.ids) == len(set(outline.ids))


def test_headline_figures(page: str) -> None:
    start, end = page.index('id="figures"'), page.index('id="accuracy"')
    text = re.sub(r"<[^>]+>", "", page[start:end]).replace("\N{NO-BREAK SPACE}", " ")
    for figure in (
        "31.2%",
        "93.8%",
        "90.6%",
        "9.877ms",
        "1,234,567 cycles",
        "40.0ms",
        "; 12.0 ms with no",
    ):
        assert figure in text
    for figure in (
        "5,000,000 cycles; 48.0 ms with no zero skipped",
        "120,000 on average",
        "135,168 bytes, 50.0 % of 264 KB",
    ):
        assert figure in text


ROWS = [
    ["layer 0 forward", "conv2d", "62,500", "0.500", "6.25", "5.00", "10,000", "50.0 %"],
    ["layer 1 forward", "linear", "37,500", "0.300", "1.88", "1.50", "20,000", "30.0 %"],
    ["layer 1 loss", "linear", "1,250", "0.010", "", "", "", "1.0 %"],
    ["layer 1 update", "linear", "23,750", "0.190", "1.19", "0.95", "20,000", "19.0 %"],
    ["all operations", "", "125,000", "1.000", "2.50", "2.00", "50,000", "100.0 %"],
    ["an inference", "", "5,000,000", "40.000", "166.67", "133.33", "30,000", ""],
]
BESIDE = [
    ["75,000", "7.50", "6.00"],
    ["50,000", "2.50", "2.00"],
    ["1,250", "", ""],
    ["61,250", "3.06", "2.45"],
    ["187,500", "3.75", "3.00"],
    ["6,000,000", "200.00", "160.00"],
]


def test_every_operation_has_its_row(page: str) -> None:
    rows = Outline(page).rows
    for measured, worst in zip(ROWS, BESIDE, strict=True):
        assert rows.count([*measured[:6], *worst, *measured[6:]]) == 1
    assert "no skips 75,000 cycles" in page
    # Of the longest bar, which is that of layer 1 with nothing left out.
    assert '<i class="worst" style="width: 100.0000%"' in page
    assert f'<i class="worst" style="width: {100 * 75000 / 112500:.4f}%"' in page


def test_without_the_worst_case() -> None:
    def alone(one: StepCost) -> StepCost:
        return replace(one, worst=None)

    assert CONTENT.train is not None
    content = replace(
        CONTENT,
        train=alone(CONTENT.train),
        infer=alone(CONTENT.infer),
        all_operations=alone(CONTENT.all_operations),
        operations=tuple(replace(one, worst=None) for one in OPERATIONS),
    )
    page = render(content)
    rows = Outline(page).rows
    assert all(rows.count(row) == 1 for row in ROWS)
    assert "no skips" not in page.lower()
    assert "zero skipped" not in page


def test_histories_have_every_epoch(page: str) -> None:
    rows = Outline(page).rows
    assert ["0", "", "31.25 %", "", ""] in rows
    assert ["1", "4", "93.75 %", "75.00 %", "83.2"] in rows
    assert ["2", "3", "90.62 %", "87.50 %", "39.5"] in rows
    assert ["0 conv2d", "forward", "0", "1.25 %"] in rows
    assert ["1 linear", "update", "25 %", "0.04 %"] in rows
    assert page.count('class="plot wide"') == page.count('class="plot narrow"') == 2


def test_memory_stack_and_arena(page: str) -> None:
    rows = Outline(page).rows
    assert ["code", "100,000", "37.0 %"] in rows
    assert ["free", "135,168", "50.0 %"] in rows
    assert [".text", "0x20000000", "4,096", "4,096"] in rows
    assert ["deep_one", "1,000", "1,016", ""] in rows
    assert ["buffer", "F0", "L", "U0", "bytes"] in rows
    assert ["activation[0]", "", "", "", "40"] in rows
    assert page.count('class="bar over"') == 1


def test_flame_graph_leaves_out_what_is_too_thin(page: str) -> None:
    assert "main: 100,000 cycles" in page
    assert "dot: 99,980 cycles" in page
    assert "tiny" not in page
    assert "1 box of less than" in page


def test_the_same_content_gives_the_same_bytes(page: str) -> None:
    assert render(CONTENT) == page


def test_nothing_is_loaded(page: str) -> None:
    bare = re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)
    assert "http://" not in bare
    assert "https://" not in bare
    outline = Outline(page)
    assert all(load.startswith(("#", "data:")) for load in outline.loads)
    targets = {load[1:] for load in outline.loads if load.startswith("#")}
    assert targets <= set(outline.ids)
    used = set(re.findall(r"url\(#([^)]+)\)", page))
    assert used <= set(outline.ids)
    assert "@import" not in page


def test_colours_come_from_the_page(page: str) -> None:
    plots = "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    assert re.findall(r"#[0-9a-f]{6}\b", plots) == []
    defined = set(re.findall(r"(--[\w-]+):", page))
    assert set(re.findall(r"var\((--[\w-]+)\)", page)) <= defined


def test_names_are_escaped() -> None:
    odd = "<script>alert('x')</script>&"
    subject = replace(CONTENT.subject, model=odd, dataset=odd, command=odd)
    layers = (LayerName(0, odd, True), LayerName(1, "linear", True))
    page = render(replace(CONTENT, subject=subject, layers=layers, run=replace(RUN, file=odd)))
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert Outline(page).open == []


def test_without_a_run_it_says_how_to_get_one() -> None:
    page = render(replace(CONTENT, run=None))
    assert page.count("picotrain adapt --target qemu --json run.json") == 2
    assert "plot wide" not in page.split("</style>")[1]
    assert [name for name in Outline(page).ids if name in SECTIONS] == SECTIONS


def test_a_run_outside_a_checkout_and_on_a_target_without_cycles() -> None:
    run = replace(RUN, versions={}, cycles_per_train_image=None, cycles_per_infer_image=None)
    page = render(replace(CONTENT, run=run, stack_painted=None))
    assert "on average over the adaptation" not in page
    assert "painted" not in page


def test_a_method_that_does_not_train() -> None:
    subject = replace(CONTENT.subject, method="infer")
    page = render(replace(CONTENT, subject=subject, run=None, train=None))
    assert "infer does not train" in page
    assert "a training image" not in page.lower()


def test_one_epoch_without_saturation_and_many_layers() -> None:
    layers = tuple(LayerName(index, "linear", True) for index in range(20))
    nothing = tuple((Saturation(0.0, 0.0, 0.0),) for _ in layers)
    run = replace(RUN, history=RUN.history[:1], saturation=nothing)
    page = render(replace(CONTENT, layers=layers, run=run))
    assert "layer 19 linear" in page
    assert "stroke dotted" in page


def test_flame_boxes_add_up() -> None:
    nodes = [
        CallNode(-1, 0, 0, 1, 5),
        CallNode(0, 8, 2, 2, 10),
        CallNode(0, 8, 4, 3, 20),
        CallNode(0, 16, 6, 1, 0),
        CallNode(3, 8, 18, 1, 40),
        CallNode(0, 24, 7, 1, 0),
    ]
    names = ["root", "leaf", "leaf", "middle", "leaf", "idle"]
    assert flame_boxes(nodes, names) == (
        FlameBox("root", 0, 0, 75, 5, 1),
        FlameBox("middle", 1, 0, 40, 0, 1),
        FlameBox("leaf", 2, 0, 40, 40, 1),
        FlameBox("leaf", 1, 40, 30, 30, 5),
    )


def test_disassembly() -> None:
    listing = (
        "20000010 <f>:\n"
        "20000010:\tpush\t{r4, lr}\n"
        "20000012:\tldr\tr0, [pc, #92]\t@ (20000070 <f+0x60>)\n"
        "20000014:\tbne.n\t20000010 <f>\n"
        "20000070:\t.word\t0x20000000\n"
    )
    found = parse(listing)
    assert found[0x20000010] == "push {r4, lr}"
    assert found[0x20000012] == "ldr r0, [pc, #92]"
    assert found[0x20000014] == "bne.n 20000010 <f>"
    assert 0x20000070 not in found


# The file of a run


def run_json(**changes: object) -> dict[str, Any]:
    calibration = ("calibration", "calibration_samples", "layer_mu")
    options = {**RUN.options, **{name: getattr(RUN, name) for name in calibration}}
    return {**asdict(RUN), "options": options, "epochs": 2, "complete": True, **changes}


def test_a_run_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "adapt.json"
    file.write_text(json.dumps(run_json()))
    assert read_run(file) == RUN


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "cannot read "),
        ("{", "is no JSON"),
        ("[]", "is JSON, but no object"),
        ("{}", "is no result of an adaptation"),
        (json.dumps({"complete": False}), "is unfinished: 0 of ? epochs"),
        (json.dumps(run_json(complete=False)), "is unfinished: 2 of 2 epochs"),
        (json.dumps(run_json(accuracy_best=1.5)), "1.5 is no share between 0 and 1"),
        (json.dumps(run_json(accuracy_best=float("nan"))), "nan is no share"),
        (json.dumps(run_json(accuracy_final=None)), "lacks or garbles a field"),
        (json.dumps(run_json(history=[])), "the epochs of history and saturation differ"),
        (json.dumps(run_json(history=3)), "lacks or garbles a field"),
        (json.dumps(run_json(versions=None)), "lacks or garbles a field"),
        (json.dumps(run_json(options={"mu": [3]})), "lacks or garbles a field"),
    ],
)
def test_another_file_gets_one_sentence(tmp_path: Path, text: str | None, sentence: str) -> None:
    file = tmp_path / "adapt.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError) as raised:
        read_run(file)
    message = str(raised.value)
    assert sentence in message
    assert str(file) in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--run", "nowhere.json"], "cannot read nowhere.json"),
        (["--run", "nowhere.json", "--html", "x.html"], "cannot read nowhere.json"),
    ],
)
def test_the_command_line_refuses_a_run_early(
    capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert cli.main(["profile", *arguments]) == 2
    assert sentence in capsys.readouterr().err


def test_a_run_that_collapsed_says_so() -> None:
    warned = render(replace(CONTENT, run=replace(RUN, warnings=("accuracy fell & fell; try",))))
    assert '<p class="note warning">Warning: accuracy fell &amp; fell; try.</p>' in warned
    assert "note warning" not in render(CONTENT)


def test_deaths_of_the_device_show() -> None:
    died = render(replace(CONTENT, run=replace(RUN, deaths="2 (2 CRASH), 64 images shown again")))
    assert "Deaths of the device: 2 (2 CRASH), 64 images shown again; what was learned" in died


def test_batches_whose_runs_differed_show() -> None:
    counted = replace(RUN, disagreements="1 of the batches that were shown twice")
    shown = render(replace(CONTENT, run=counted))
    assert "Two runs differed: 1 of the batches that were shown twice; cycles" in shown
    assert "Two runs differed" not in render(CONTENT)


def test_the_memory_plan_is_among_the_facts() -> None:
    """With what the method adds to it, as `picotrain profile --fused` says it."""
    subject = replace(CONTENT.subject, plan="lean, fused")
    assert "<dt>memory plan</dt><dd>lean, fused</dd>" in render(replace(CONTENT, subject=subject))
