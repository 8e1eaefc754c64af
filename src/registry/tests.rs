//! The walk over a tree of components: every fault, with its place.

use schemars::JsonSchema;
use serde::Deserialize;

use super::*;
use crate::config::{Map, Value};
use crate::error::Result;

struct Shape;
impl Kind for Shape {
    type Built = f64;
    const NAME: &'static str = "shape";
}

struct Brush;
impl Kind for Brush {
    type Built = ();
    const NAME: &'static str = "brush";
    const PARTIAL: bool = true;
}

/// A square.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Square {
    side: Positive,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    #[allow(dead_code)]
    fused: Ignored,
}

impl Component for Square {
    type Kind = Shape;
    const TARGETS: &'static [&'static str] = &["shapes.Square"];
    fn check(&self, cx: &mut Check) {
        if self.name.as_deref() == Some("round") {
            cx.problem("name", "a square is not round");
        }
    }
    fn build(self, _: &mut Build) -> Result<f64> {
        Ok(self.side.0 * self.side.0)
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Sum {
    parts: Vec<Slot<Shape>>,
    #[serde(default)]
    times: OneOrMany<u64>,
}

impl Default for OneOrMany<u64> {
    fn default() -> Self {
        OneOrMany::One(1)
    }
}

impl Component for Sum {
    type Kind = Shape;
    const TARGETS: &'static [&'static str] = &["lightning.pytorch.shapes.Sum"];
    fn build(self, cx: &mut Build) -> Result<f64> {
        let times: u64 = self.times.as_slice().iter().product();
        Ok(cx.build_all(&self.parts)?.iter().sum::<f64>() * times as f64)
    }
}

#[derive(Deserialize, JsonSchema)]
struct Oil {}
impl Component for Oil {
    type Kind = Brush;
    const TARGETS: &'static [&'static str] = &["brushes.Oil"];
    fn build(self, _: &mut Build) -> Result<()> {
        Ok(())
    }
}

fn registry() -> Registry {
    Registry::new().with::<Square>().with::<Sum>().with::<Oil>()
}

fn map(entries: Vec<(&str, Node)>) -> Node {
    Node::program(entries.into_iter().map(|(k, v)| (k.into(), v)).collect::<Map>())
}

fn text(value: &str) -> Node {
    Node::program(value)
}

fn square(side: impl Into<Value>) -> Node {
    map(vec![("_target_", text("shapes.Square")), ("side", Node::program(side))])
}

fn check(node: Node) -> (Vec<String>, usize) {
    let slot = SlotRef { node, path: KeyPath::root().key("model"), kind: KindInfo::of::<Shape>() };
    let (problems, notes) = registry().check(&slot);
    (problems.0.iter().map(|p| format!("{} @ {}", p.message, p.path)).collect(), notes.len())
}

#[test]
fn builds_nested_components_under_any_spelling() {
    let registry = registry();
    for target in ["lightning.pytorch.shapes.Sum", "pytorch_lightning.shapes.Sum", "lightning.shapes.deep.sum.Sum"] {
        let node = map(vec![
            ("_target_", text(target)),
            ("_args_", Node::program(vec![Node::program(vec![square(2.0), square(3)])])),
            ("times", Node::program(vec![Node::program(2i64), Node::program(2i64)])),
        ]);
        let slot = Slot::<Shape>::new(node, KeyPath::root());
        assert_eq!(Build::new(&registry).build(&slot).unwrap(), 52.0, "{target}");
    }
}

#[test]
fn reports_every_fault_at_once() {
    let node = map(vec![
        ("_target_", text("lightning.pytorch.shapes.Sum")),
        ("tims", Node::program(3i64)),
        (
            "parts",
            Node::program(vec![
                square(-1.0),
                square("wide"),
                map(vec![("_target_", text("shapes.Sqare"))]),
                map(vec![("_target_", text("brushes.Oil"))]),
                map(vec![("_target_", text("shapes.Square")), ("name", text("a")), ("colour", text("b"))]),
                map(vec![("_target_", text("shapes.Square")), ("side", text("???")), ("fused", text("x"))]),
                map(vec![
                    ("_target_", text("shapes.Square")),
                    ("side", Node::program(1i64)),
                    ("name", text("round")),
                    ("_partial_", Node::program(true)),
                ]),
            ]),
        ),
    ]);
    let (problems, notes) = check(node);
    assert_eq!(
        problems,
        [
            "unknown argument `tims` for lightning.pytorch.shapes.Sum @ model.tims",
            "expected a number above 0, found -1.0 @ model.parts.0.side",
            "expected a number above 0, found the text \"wide\" @ model.parts.1.side",
            "unknown shape `shapes.Sqare` @ model.parts.2._target_",
            "`brushes.Oil` is a brush, but a shape goes here @ model.parts.3._target_",
            "unknown argument `colour` for shapes.Square @ model.parts.4.colour",
            "missing argument `side` for shapes.Square @ model.parts.4.side",
            "a value is missing (`???`) @ model.parts.5.side",
            "`_partial_: true` has no meaning for a shape @ model.parts.6._partial_",
            "a square is not round @ model.parts.6.name",
        ]
    );
    assert_eq!(notes, 1);
}
