use super::*;
use crate::data::datasets::testing::{gray, module, problem, sizes};
use crate::data::{SampleKey, Split};

fn samples(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/varkoder").join(name);
    if !path.exists() {
        eprintln!("skipped: the sample data varkoder/{name} is not here");
    }
    path.exists().then_some(path)
}

fn text(root: &Path, args: &str) -> String {
    format!("_target_: runner.data.KmerImages\nroot: {}\n{args}", root.display())
}

#[test]
fn labels_in_the_files() {
    let Some(root) = samples("examples") else { return };
    // Three samples of a label of their own each: none may go to validation.
    let args = "valid_fraction: 0.0\ntrain_transforms: [{_target_: torchvision.transforms.Resize, size: [91, 91]}, {_target_: torchvision.transforms.ToTensor}]\n";
    let set = module(&text(&root, args)).unwrap();
    assert_eq!(sizes(set.as_ref()), [9, 0, 0]);
    let loader = set.loader(Split::Train).unwrap().unwrap();
    // Three samples; each in the layout cgr, under its older name, and in the layout varKode.
    for (i, mapping) in (0..9).zip(["cgr", "varKode", "varKode"].iter().cycle()) {
        let row = loader.dataset.row(i);
        assert_eq!((row[2].as_str(), row[3].as_str()), (*mapping, "7"), "{row:?}");
        let bases = if row[0].contains("Mycoplasma") { "200000000" } else { "10000000" };
        assert!(row[0].starts_with(["Animalia", "Bacteria", "Fungi"][i / 3]) && row[1] == bases, "{row:?}");
    }
    assert_eq!(set.facts().classes, ["34667", "4.3.i2", "41954"]);
    let loader = set.loader(Split::Train).unwrap().unwrap();
    assert_eq!(loader.batch_size, 1);
    let rows: Vec<Vec<String>> = (0..9).map(|i| loader.dataset.row(i)).collect();
    let flags =
        |name: &str| rows.iter().filter(|row| row[0].contains(name)).map(|row| row[4].clone()).collect::<Vec<_>>();
    assert_eq!((flags("Amanitaceae"), flags("Mycoplasma")), (vec!["False".to_owned(); 3], vec!["True".to_owned(); 3]));
    let flagged = module(&text(&root, &format!("{args}low_quality_label: true\n"))).unwrap();
    let loader = flagged.loader(Split::Train).unwrap().unwrap();
    let marked = (0..9).filter(|&i| loader.dataset.target_words(i).ends_with(LOW_QUALITY)).count();
    assert_eq!(marked, 6);
}

#[test]
fn samples_stay_together_and_tables_may_label_them() {
    let Some(root) = samples("derived") else { return };
    let set = module(&text(&root, "")).unwrap();
    let part = |module: &dyn DataModule, split| {
        let loader = module.loader(split).unwrap().unwrap();
        (0..loader.dataset.len()).map(|i| loader.dataset.row(i)[0].clone()).collect::<BTreeSet<String>>()
    };
    let (train, val) = (part(set.as_ref(), Split::Train), part(set.as_ref(), Split::Val));
    // Groups of six samples send one, groups of the two of low quality none.
    assert!(train.is_disjoint(&val) && (train.len(), val.len()) == (21, 3));
    let families = ["Amanitaceae", "Cerambycidae", "Mycoplasma"].map(|family| format!("family:{family}"));
    let kingdoms = ["Animalia", "Bacteria", "Fungi"].map(|kingdom| format!("kingdom:{kingdom}"));
    let expected: Vec<String> = families.into_iter().chain(kingdoms).chain([LOW_QUALITY.to_owned()]).collect();
    assert_eq!(set.facts().classes, expected);
    // What has the label already does not get it twice from the flag.
    let marked = |args: &str| {
        let set = module(&text(&root, &format!("{args}valid_fraction: 0.0\n"))).unwrap();
        let loader = set.loader(Split::Train).unwrap().unwrap();
        let words = (0..loader.dataset.len()).map(|i| loader.dataset.target_words(i));
        words.filter(|words| words.matches(LOW_QUALITY).count() == 1).count()
    };
    assert_eq!((marked(""), marked("low_quality_label: true\n")), (12, 12));

    let folder = tempfile::tempdir().unwrap();
    let rows = std::fs::read_to_string(root.join("../derived_labels.csv")).unwrap();
    let table = folder.path().join("labels.csv");
    std::fs::write(&table, rows.lines().take(20).collect::<Vec<_>>().join("\n")).unwrap();
    let args = format!("label_table: {}\nval_ids: Cerambycidae_S01,Cerambycidae_S02\n", table.display());
    let set = module(&text(&root, &args)).unwrap();
    assert_eq!(part(set.as_ref(), Split::Val), BTreeSet::from(["Cerambycidae_S01".into(), "Cerambycidae_S02".into()]));
    assert_eq!(sizes(set.as_ref()), [34, 4, 0]);
    std::fs::write(&table, "sample,taxon\na,b\n").unwrap();
    assert!(problem(&text(&root, &args)).contains("no column `labels`"));
}

#[test]
fn what_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    assert!(problem(&text(root, "")).contains("no PNG files below"));
    gray(&root.join("a.png"), 2, 2, 0);
    assert!(problem(&text(root, "")).contains("a.png: the name cannot be read"));
    assert!(problem(&text(root, "file_names: any\n")).contains("a.png has no labels"));
    let table = root.join("t.csv");
    std::fs::write(&table, "sample,labels\na,x\nb,y\n").unwrap();
    gray(&root.join("b.png"), 2, 2, 0);
    let args = format!("file_names: any\nlabel_table: {}\nval_ids: b\n", table.display());
    assert!(problem(&text(root, &args)).contains("the label `y` is in no training sample"));
    std::fs::write(&table, "sample,labels\na,x+y\nb,y\n").unwrap();
    assert!(problem(&text(root, &args)).contains("the label `x+y` has a @, ~ or + in it"));
}

/// Lighting and mixing are for training; without them its batches are the pictures.
#[test]
fn batches_are_the_pictures_where_nothing_is_mixed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let mut rows = String::from("sample,labels\n");
    for number in 0..8u8 {
        gray(&root.join(format!("p{number}.png")), 4, 4, 30 * number);
        rows.push_str(&format!("p{number},{}\n", if number % 2 == 0 { "even;number" } else { "number;odd" }));
    }
    std::fs::write(root.join("t.csv"), rows).unwrap();
    let args = format!(
        "file_names: any\nlabel_table: {}\nbatches_per_epoch: null\nbatch_size: 6\nvalid_fraction: 0.25\n",
        root.join("t.csv").display()
    );
    let mixing = "batch_transforms: [{_target_: runner.transforms.MixUp, alpha: 0.4}]\n";
    for (more, mixed) in [("", false), ("batch_transforms: null\n", false), (mixing, true)] {
        let set = module(&text(root, &format!("{args}{more}"))).unwrap();
        assert_eq!(sizes(set.as_ref()), [6, 2, 0]);
        for split in [Split::Train, Split::Val] {
            let loader = set.loader(split).unwrap().unwrap();
            let (mut is_own, mut is_hard) = (true, true);
            for epoch in 0..6 {
                let batch = loader.epoch(epoch, 0).next().unwrap().unwrap();
                let input = batch.input().unwrap();
                is_own &= batch.indices.iter().enumerate().all(|(place, &index)| {
                    let key = SampleKey { seed: loader.seed, epoch, index: index as u64 };
                    let sample = loader.dataset.sample(key).unwrap();
                    input.get(place as i64) == sample.fields["input"]
                });
                let target = batch.target().unwrap();
                is_hard &= target.eq_tensor(&target.round()).all().int64_value(&[]) == 1;
            }
            assert_eq!((is_own, is_hard), if mixed && split == Split::Train { (false, false) } else { (true, true) });
        }
    }
}
