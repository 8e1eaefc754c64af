//! Classes of several levels, and the bundling of small classes.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use super::table::{self, Table};
use crate::data::{Level, Targets};
use crate::error::{Error, Result};
use crate::prelude::*;

/// A table that says where each class belongs: one row a class.
#[derive(Clone, Debug, Deserialize, serde::Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HierarchyTable {
    /// The table: CSV, TSV or JSON lines.
    path: PathBuf,
    /// What is between its values; null: what its header has most of.
    #[serde(default)]
    separator: Option<String>,
    /// The column of the class's own name: that of its folder.
    name_column: String,
    /// What the level of the classes themselves is called: species; null: as that column.
    #[serde(default)]
    name: Option<String>,
    /// The columns of the higher levels, in the order of the targets.
    levels: Vec<String>,
}

impl HierarchyTable {
    /// Reports what cannot be right.
    pub fn check(&self, cx: &mut Check) {
        if !self.path.is_file() {
            cx.problem("hierarchy", format!("there is no file {}", self.path.display()));
        }
        if let Err(message) = table::separator(self.separator.as_deref()) {
            cx.problem("hierarchy", message);
        }
        if self.levels.is_empty() {
            cx.problem("hierarchy", "`levels` names no column");
        }
    }

    /// The higher levels of every class in the table.
    fn read(&self) -> Result<HashMap<String, Vec<String>>> {
        let separator = table::separator(self.separator.as_deref()).map_err(Error::request)?;
        let table = Table::read(&self.path, separator)?;
        let name = table.column(&self.name_column, "hierarchy.name_column")?;
        let levels = self.levels.iter().map(|level| table.column(level, "hierarchy.levels"));
        let levels = levels.collect::<Result<Vec<_>>>()?;
        table.unique(name)?;
        for (row, values) in table.rows.iter().enumerate() {
            if let Some(level) = levels.iter().find(|&&level| values[level].trim().is_empty()) {
                let (place, column) = (table.place(row), &table.columns[*level]);
                return Err(Error::request(format!("{place}: `{}` has no {column}", values[name])));
            }
        }
        let row = |row: &Vec<String>| (row[name].clone(), levels.iter().map(|&level| row[level].clone()).collect());
        Ok(table.rows.iter().map(row).collect())
    }
}

/// Which classes are bundled.
pub struct Bundling<'a> {
    /// Classes with fewer samples are.
    pub min_samples: usize,
    /// Into the class of this name.
    pub other: &'a str,
}

/// Samples with their final classes.
pub struct Labelled {
    /// The targets.
    pub targets: Targets,
    /// The classes of each level.
    pub levels: Vec<Level>,
    /// For each class of the first level its class at every level; empty with one level.
    pub lineage: Vec<Vec<i64>>,
}

impl Labelled {
    /// Targets without named classes.
    pub fn flat(targets: Targets) -> Self {
        Labelled { targets, levels: Vec::new(), lineage: Vec::new() }
    }
}

/// Final classes of samples whose `labels` are places in `classes`.
///
/// A class is kept if at least `min_samples` of the first `learning` samples have it and, where there is a hierarchy,
/// its table knows it; all others become the class `other`. With a hierarchy `other` is class 0 of every level,
/// whether or not anything is in it; without one it stands first when something is bundled. The rest of each level
/// is sorted.
///
/// # Errors
/// When the hierarchy's table cannot be read or used.
pub fn label(
    labels: &[i64],
    classes: Vec<String>,
    learning: usize,
    bundling: &Bundling,
    hierarchy: Option<&HierarchyTable>,
) -> Result<Labelled> {
    let mut counts = vec![0usize; classes.len()];
    labels[..learning].iter().for_each(|&label| counts[label as usize] += 1);
    let known = hierarchy.map(HierarchyTable::read).transpose()?;
    let keep = |class: usize| {
        counts[class] >= bundling.min_samples && known.as_ref().is_none_or(|known| known.contains_key(&classes[class]))
    };
    let kept: Vec<usize> = (0..classes.len()).filter(|&class| keep(class)).collect();
    let bundles = kept.len() < classes.len();
    if bundles {
        let bundled = classes.len() - kept.len();
        let samples = labels.iter().filter(|&&label| !keep(label as usize)).count();
        let classes = if bundled == 1 { "1 class".to_owned() } else { format!("{bundled} classes") };
        tracing::info!("{classes} with {samples} samples bundled into {}", bundling.other);
    }
    if let Some(class) = kept.iter().find(|&&class| classes[class] == bundling.other).filter(|_| bundles) {
        let message = format!("a class is named `{}` like the class of bundled samples", classes[*class]);
        return Err(Error::request(message).help("set data.other to another name"));
    }
    if kept.is_empty() {
        let message = format!("no class has {} samples or more: all would be bundled", bundling.min_samples);
        return Err(Error::request(message).help("lower data.min_samples"));
    }
    // Place in the first level of each class.
    let offset = usize::from(bundles || known.is_some());
    let mut places = vec![0i64; classes.len()];
    kept.iter().enumerate().for_each(|(place, &class)| places[class] = (place + offset) as i64);
    let with_other = |names: Vec<String>, other: bool| {
        let first = other.then(|| bundling.other.to_owned());
        first.into_iter().chain(names).collect::<Vec<String>>()
    };
    let names = kept.iter().map(|&class| classes[class].clone()).collect();
    let own: Vec<i64> = labels.iter().map(|&label| places[label as usize]).collect();
    let (Some(known), Some(hierarchy)) = (known, hierarchy) else {
        let level = Level { name: "class".into(), classes: with_other(names, bundles) };
        return Ok(Labelled { targets: Targets::Classes(own), levels: vec![level], lineage: Vec::new() });
    };
    let mut levels = vec![Level {
        name: hierarchy.name.clone().unwrap_or_else(|| hierarchy.name_column.clone()),
        classes: with_other(names, true),
    }];
    for (place, name) in hierarchy.levels.iter().enumerate() {
        let names: BTreeSet<&String> = kept.iter().map(|&class| &known[&classes[class]][place]).collect();
        let classes = with_other(names.into_iter().cloned().collect(), true);
        levels.push(Level { name: name.clone(), classes });
    }
    let place = |level: usize, name: &str| {
        // The first is `other`; the rest is sorted.
        levels[level].classes[1..].binary_search_by(|class| class.as_str().cmp(name)).map_or(0, |at| at as i64 + 1)
    };
    let mut lineage = vec![vec![0; levels.len()]];
    for &class in &kept {
        let above = known[&classes[class]].iter().enumerate().map(|(level, name)| place(level + 1, name));
        lineage.push(std::iter::once(places[class]).chain(above).collect());
    }
    let values = own.iter().flat_map(|&class| lineage[class as usize].iter().copied()).collect();
    Ok(Labelled { targets: Targets::Levels { levels: levels.len(), values }, levels, lineage })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> (tempfile::TempDir, HierarchyTable) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h.csv");
        std::fs::write(&path, text).unwrap();
        let levels = vec!["group".into(), "genus".into()];
        (folder, HierarchyTable { path, separator: Some(";".into()), name_column: "name".into(), name: None, levels })
    }

    const TEXT: &str = "name;group;genus\ncat;animal;felid\nlion;animal;felid\ncar;vehicle;car\n";

    #[test]
    fn levels_have_other_first() {
        let (_folder, hierarchy) = table(TEXT);
        let classes: Vec<String> = ["car", "cat", "frog", "lion"].map(str::to_owned).to_vec();
        let labels = [0, 0, 1, 1, 2, 2, 3];
        let bundling = Bundling { min_samples: 2, other: "Other" };
        let labelled = label(&labels, classes.clone(), 7, &bundling, Some(&hierarchy)).unwrap();
        assert_eq!(labelled.levels[0].classes, ["Other", "car", "cat"]);
        assert_eq!(labelled.levels[1].classes, ["Other", "animal", "vehicle"]);
        assert_eq!(labelled.levels[2].classes, ["Other", "car", "felid"]);
        assert_eq!(labelled.lineage, [[0, 0, 0], [1, 2, 1], [2, 1, 2]]);
        let Targets::Levels { values, .. } = labelled.targets else { panic!("one level") };
        assert_eq!(values[..3], [1, 2, 1]);
        assert_eq!(values[12..], [0, 0, 0, 0, 0, 0, 0, 0, 0]);

        let labelled = label(&labels, classes.clone(), 7, &bundling, None).unwrap();
        assert_eq!(labelled.levels[0].classes, ["Other", "car", "cat", "frog"]);
        let all = Bundling { min_samples: 1, other: "Other" };
        assert_eq!(label(&labels, classes.clone(), 7, &all, None).unwrap().levels[0].classes, classes);
        let none = Bundling { min_samples: 9, other: "Other" };
        assert!(label(&labels, classes, 7, &none, None).err().unwrap().to_string().contains("no class has 9 samples"));
    }

    /// The worked tables of moths: its own species, and CIFAR's classes with one that the table does not know.
    #[test]
    fn worked_tables() {
        let shared = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
        let Ok(text) = std::fs::read_to_string(shared.join("expected/hierarchy.json")) else {
            eprintln!("skipped: the sample data expected/hierarchy.json is not here");
            return;
        };
        let all: serde_json::Value = serde_json::from_str(&text).unwrap();
        for (name, table) in [("moths", "moths/family.csv"), ("cifar10", "cifar10/hierarchy.csv")] {
            let hierarchy = HierarchyTable {
                path: shared.join(table),
                separator: Some(";".into()),
                name_column: "speciesName".into(),
                name: Some("species".into()),
                levels: ["group", "family", "genus"].map(String::from).to_vec(),
            };
            for case in all[name].as_array().unwrap() {
                let counts = case["counts"].as_object().unwrap();
                let mut classes: Vec<String> = counts.keys().cloned().collect();
                classes.sort();
                let of = |class: &String| counts[class].as_u64().unwrap() as usize;
                let labels: Vec<i64> = (0i64..).zip(&classes).flat_map(|(i, class)| vec![i; of(class)]).collect();
                let min_samples = case["min_samples"].as_u64().unwrap() as usize;
                let bundling = Bundling { min_samples, other: "Other" };
                let found = label(&labels, classes.clone(), labels.len(), &bundling, Some(&hierarchy)).unwrap();
                for (level, key) in found.levels.iter().zip(["classes", "groups", "families", "genera"]) {
                    assert_eq!(serde_json::json!(level.classes), case[key], "{name}: {key}");
                }
                for (class, above) in case["index_map"].as_object().unwrap() {
                    let lineage = &found.lineage[class.parse::<usize>().unwrap()];
                    assert_eq!(serde_json::json!(lineage[1..]), *above, "{name}: {class}");
                }
                let Targets::Levels { values, .. } = found.targets else { panic!("one level") };
                for (label, target) in labels.iter().zip(values.chunks(4)) {
                    assert_eq!(case["folder_to_class"][&classes[*label as usize]], target[0], "{name}");
                }
            }
        }
    }

    #[test]
    fn broken_tables() {
        let read = |text: &str| {
            let (_folder, table) = table(text);
            table.read().err().map(|error| error.to_string()).unwrap_or_default()
        };
        assert!(read("name;group;genus\na;b;c\na;b;c\n").contains("`a` stands in column `name` of lines 2 and 3"));
        assert!(read("name;group\na;b\n").contains("no column `genus`, which hierarchy.levels names"));
        assert!(read("name,group,genus\na,b,c\n").contains("is the separator right?"));
        assert!(read("name;group;genus\na;;c\n").contains("`a` has no group"));
    }
}
