use crate::data::datasets::testing::{batch, gray, module, problem, sizes};
use crate::data::{LabelKind, Split};

/// A folder with gray images a.png to d.png and a table; the text of a module of it.
fn place(table: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    for (value, name) in (0u8..).zip(["a", "b", "c", "d"]) {
        gray(&folder.path().join(format!("{name}.png")), 2, 2, value * 10);
        gray(&folder.path().join(format!("nir/{name}.png")), 2, 2, 100 + value * 10);
    }
    let path = folder.path().join("t.csv");
    std::fs::write(&path, table).unwrap();
    (folder, format!("_target_: runner.data.ImageTable\ntable: {}\nsplit_column: part\n", path.display()))
}

const PLAIN: &str = "path,label,part\na.png,x,train\nb.png,y,train\nc.png,x,val\nd.png,y,\n";

#[test]
fn one_class_each_and_parts_from_a_column() {
    let (_folder, text) = place(PLAIN);
    let set = module(&text).unwrap();
    assert_eq!(sizes(set.as_ref()), [2, 1, 0]);
    let facts = set.facts();
    assert_eq!(
        (facts.classes, facts.class_counts, facts.labels),
        (vec!["x".into(), "y".into()], vec![1, 1], LabelKind::Single)
    );
    let loader = set.loader(Split::Val).unwrap().unwrap();
    assert_eq!((loader.dataset.id(0).as_str(), loader.dataset.target_words(0)), ("c.png", "x".to_owned()));
    let batch = batch(set.as_ref(), Split::Val);
    assert_eq!(batch.input().unwrap().size(), [1, 3, 2, 2]);
    assert_eq!(Vec::<i64>::try_from(batch.target().unwrap()).unwrap(), [0]);
}

#[test]
fn sets_of_labels_and_merged_rows() {
    let (_folder, text) = place("path,label,part\na.png,x;y,train\nb.png,,train\nc.png,y,val\nd.png,z;x,train\n");
    let set = module(&format!("{text}label_separator: ';'\n")).unwrap();
    let target = batch(set.as_ref(), Split::Val).target().unwrap().shallow_clone();
    assert_eq!(target.size(), [1, 3]);
    assert_eq!(Vec::<f32>::try_from(target.view(-1)).unwrap(), [0.0, 1.0, 0.0]);
    assert_eq!(set.facts().labels, LabelKind::Multi);

    let (_folder, text) = place("path,id,label,part\na.png,1,10,train\nb.png,2,9,train\na.png,1,2,train\n");
    let twice = problem(&format!("{text}id_column: id\n"));
    assert!(twice.contains("`1` stands in column `id` of lines 2 and 4; set data.merge_rows"), "{twice}");
    let set = module(&format!("{text}id_column: id\nmerge_rows: true\n")).unwrap();
    assert_eq!((sizes(set.as_ref())[0], set.facts().classes), (2, vec!["2".into(), "9".into(), "10".into()]));
    let loader = set.loader(Split::Train).unwrap().unwrap();
    assert_eq!((loader.dataset.id(0), loader.dataset.target_words(0)), ("1".into(), "2;10".into()));
}

#[test]
fn columns_of_a_hierarchy() {
    let (_folder, text) =
        place("path,species,family,part\na.png,s1,f1,train\nb.png,s2,f1,train\nc.png,s3,f2,val\nd.png,s1,f1,train\n");
    let set = module(&format!("{text}label_columns: [species, family]\n")).unwrap();
    let facts = set.facts();
    assert_eq!((facts.labels, facts.levels.len(), facts.levels[1].name.as_str()), (LabelKind::Levels, 2, "family"));
    assert_eq!(facts.lineage, [[0, 0], [1, 0], [2, 1]]);
    let target = batch(set.as_ref(), Split::Val).target().unwrap().shallow_clone();
    assert_eq!((target.size(), Vec::<i64>::try_from(target.view(-1)).unwrap()), (vec![1, 2], vec![2, 1]));
    let (_folder, text) = place("path,species,family,part\na.png,s,f1,train\nb.png,s,f2,train\n");
    assert!(problem(&format!("{text}label_columns: [species, family]\n")).contains("line 3: `s` belongs elsewhere"));
}

#[test]
fn files_are_stacked_and_numbers_are_targets() {
    let (_folder, text) = place("id,y,lat,part\na,0.5,3,train\nb,1e2,4,train\nc,-1,5,val\n");
    let args = "id_column: id\nvalue_columns: y\ncolumns: [lat]\nbands: [3, 0]\nfiles:\n  - {path: '{id}.png', mode: RGB}\n  - {path: 'nir/{id}.png', mode: L}\n";
    let set = module(&format!("{text}{args}")).unwrap();
    let batch = batch(set.as_ref(), Split::Val);
    assert_eq!(batch.input().unwrap().size(), [1, 2, 2, 2]);
    let corner = batch.input().unwrap().select(2, 0).select(2, 0).view(-1);
    assert_eq!(Vec::<f32>::try_from(corner).unwrap(), [120.0f32 / 255.0, 20.0 / 255.0]);
    assert_eq!(Vec::<f32>::try_from(batch.target().unwrap()).unwrap(), [-1.0]);
    let loader = set.loader(Split::Train).unwrap().unwrap();
    assert_eq!((loader.dataset.columns(), loader.dataset.row(1)), (&["lat".to_owned()][..], vec!["4".to_owned()]));
    let (_folder, text) = place("id,y,lat,part\na,nan,3,train\n");
    let error = problem(&format!("{text}{args}"));
    assert!(error.contains("line 2: `nan` in column `y` is no finite number"), "{error}");
}

#[test]
fn what_is_wrong_with_a_table_is_named() {
    let (_folder, text) = place("path,label,part\na.png,x,train\nnone.png,y,train\n");
    let error = problem(&text);
    assert!(error.contains("1 of 2 rows name files that are not there") && error.contains("none.png"), "{error}");
    let set = module(&format!("{text}missing_files: skip\n")).unwrap();
    assert_eq!(sizes(set.as_ref())[0], 1);
    let (_folder, text) = place("path,label,part\na.png,,train\n");
    assert!(problem(&text).contains("line 2: the label is empty"));
    let (_folder, text) = place("path,label,part\na.png,x,trian\n");
    assert!(problem(&text).contains("line 2: `trian` is no part"));
    let (_folder, text) = place("path,label,part\n");
    assert!(problem(&text).contains("has no rows"));
    let (_folder, text) = place("path,label,part\na.png,x,\n");
    assert!(problem(&text).contains("the data has no samples"), "{}", problem(&text));
    let (_folder, text) = place(PLAIN);
    assert!(problem(&format!("{text}label_columns: klass\n")).contains("no column `klass`, which label_columns names"));
    assert!(problem(&format!("{text}classes: [x]\n")).contains("the label `y` is not among `classes`"));
    assert!(problem(&format!("{text}separator: '::'\n")).contains("`separator` is one character"));
}

#[test]
fn json_lines_tabs_and_rare_classes() {
    let (folder, text) = place("");
    let root = folder.path().display();
    let rows = ["a", "b", "c", "d"].map(|name| {
        let labels = if name == "d" { "[\"x\", \"y\"]" } else { "[\"y\"]" };
        format!("{{\"path\": \"{name}.png\", \"label\": {labels}}}\n")
    });
    std::fs::write(folder.path().join("t.jsonl"), rows.concat()).unwrap();
    let whole = "train_val_test_split: [1.0, 0.0, 0.0]\n";
    let head = format!("_target_: runner.data.ImageTable\n{whole}table: {root}");
    let set = module(&format!("{head}/t.jsonl\nlabel_separator: ';'\n")).unwrap();
    assert_eq!((set.facts().labels, set.facts().class_counts), (LabelKind::Multi, vec![1, 4]));

    std::fs::write(folder.path().join("t.tsv"), "path\tlabel\na.png\tx\nb.png\ty\nc.png\ty\nd.png\tz\n").unwrap();
    let set = module(&format!("{head}/t.tsv\nmin_samples: 2\nother: Rest\n")).unwrap();
    assert_eq!((set.facts().classes, set.facts().class_counts), (vec!["Rest".into(), "y".into()], vec![2, 2]));
    assert!(problem(&format!("{text}label_separator: ';'\nmin_samples: 2\n")).contains("sets and levels are not"));
}

/// malpolon's sample of GeoLifeCLEF 2023: four bands of two files, several rows a patch.
#[test]
fn patches_of_satellites_with_several_species() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/malpolon/glc23");
    let table = root.join("Presence_only_occurrences/Presences_only_train_sample_mutilabel_dummy.csv");
    if !table.is_file() {
        eprintln!("skipped: the sample data malpolon/glc23 is not here");
        return;
    }
    let text = |bands: &str| {
        let file = |band: &str, mode: &str| {
            format!("  - {{path: \"{band}/{{patchID[-2:]}}/{{patchID[-4:-2]}}/{{patchID}}.jpeg\", mode: {mode}}}\n")
        };
        format!(
            "_target_: runner.data.ImageTable\ntable: {}\nroot: {}\nlabel_columns: speciesId\nid_column: patchID\n\
             merge_rows: true\ncolumns: [lon, lat]\nbands: {bands}\nstratify: false\n\
             train_val_test_split: [1.0, 0.0, 0.0]\n\
             test_transforms: [{{_target_: torchvision.transforms.ToTensor}}]\n\
             train_transforms: [{{_target_: torchvision.transforms.ToTensor}}]\nfiles:\n{}{}",
            table.display(),
            root.join("SatelliteImages").display(),
            file("rgb", "RGB"),
            file("nir", "L"),
        )
    };
    let set = module(&text("null")).unwrap();
    let loader = set.loader(Split::Train).unwrap().unwrap();
    assert_eq!((loader.dataset.len(), set.facts().classes.len(), set.facts().labels), (93, 96, LabelKind::Multi));
    let mut counts: Vec<usize> = (0..93).map(|i| loader.dataset.target_words(i).split(';').count()).collect();
    counts.sort_unstable();
    assert_eq!(counts[89..], [1, 2, 3, 5]);
    assert_eq!(loader.dataset.columns(), ["lon", "lat"]);
    let sample = |set: &dyn crate::data::DataModule| {
        let loader = set.loader(Split::Train).unwrap().unwrap();
        let first = (0..93).find(|&i| loader.dataset.id(i) == "5982155").unwrap();
        let key = crate::data::SampleKey { seed: 1, epoch: 0, index: first as u64 };
        let batch = loader.dataset.batch(&[key]).unwrap();
        batch.input().unwrap().shallow_clone()
    };
    let whole = sample(set.as_ref());
    assert_eq!(whole.size(), [1, 4, 128, 128]);
    let turned = sample(module(&text("[3, 1, 0]")).unwrap().as_ref());
    assert_eq!(turned, whole.index_select(1, &tch::Tensor::from_slice(&[3i64, 1, 0])));
}
