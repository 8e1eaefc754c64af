//! `data.html`: what the model will see, on one page.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value as Json, json};

use super::Look;
use crate::error::Result;
use crate::report::Page;
use crate::report::page::Section;

/// Renders the page.
///
/// # Errors
/// When a picture cannot be encoded.
pub fn render(look: &Look) -> Result<String> {
    let mut sections = Vec::new();
    let mut tiles = Vec::new();
    if let Some(sheet) = &look.sheet {
        sections.push(Section { id: "samples", name: "Samples" });
        for tile in &sheet.tiles {
            let png = STANDARD.encode(tile.png()?);
            let width = tile.shown().width();
            tiles.push(json!({ "png": png, "label": tile.label, "id": tile.id, "width": width }));
        }
    }
    let classes = look.classes.as_ref().map(|classes| {
        sections.push(Section { id: "classes", name: "Classes" });
        let most = classes.most() as f64;
        let rows: Vec<Json> = classes
            .rows
            .iter()
            .map(|(name, [train, val, test])| {
                let bar = format!("{:.2}", *train as f64 / most * 100.0);
                json!({ "name": name, "train": train, "val": val, "test": test, "bar": bar })
            })
            .collect();
        json!({ "rows": rows, "balance": classes.balance() })
    });
    let sizes = look.sizes.as_ref().map(|sizes| {
        sections.push(Section { id: "sizes", name: "Sizes" });
        let facts = sizes.facts().into_iter().map(|(name, value)| json!({ "name": name, "value": value }));
        facts.collect::<Vec<_>>()
    });
    let splits = look.splits.iter().map(|(name, samples, batches, size)| {
        json!({ "name": name, "value": samples, "note": format!("{batches} batches of {size}") })
    });
    let values = json!({
        "splits": splits.collect::<Vec<_>>(),
        "input": look.input,
        "split": look.split,
        "tiles": tiles,
        "classes": classes,
        "sizes": sizes,
    });
    Page { title: "Data", template: include_str!("page.html"), sections }.render(values)
}
