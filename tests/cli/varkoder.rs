//! varKoder: training on pictures of k-mer counts, and the table of its query command.

use std::collections::HashSet;

use runner::checkpoint::TensorFile;

use crate::pictures;
use crate::runner::{Call, Place, json};

/// The experiment on small pictures with a network of three linear layers.
pub const EXPERIMENT: &str = "train experiment=varkoder data.root=pictures model.net.architecture=arias2022 \
    model.net.random_weights=true callbacks.model_summary=null callbacks.fine_tune.single_group=true";

pub fn place() -> Place {
    let place = Place::new();
    pictures::varkodes(&place.path().join("pictures"));
    place
}

pub fn table(path: &std::path::Path) -> (Vec<String>, Vec<Vec<String>>) {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let header = reader.headers().unwrap().iter().map(str::to_owned).collect();
    (header, reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect())
}

#[test]
fn training_leaves_its_files_and_query_reads_them() {
    let place = place();
    let call = place.ok(&format!("{EXPERIMENT} callbacks.fine_tune.epochs=2 hydra.run.dir=run"));
    let lines: Vec<&str> = call.out.lines().filter(|line| line.starts_with(['0', '1'])).collect();
    assert!(call.out.contains("epoch          train_loss") && lines.len() == 2, "{}", call.out);
    let run = place.path().join("run");
    assert_eq!(
        std::fs::read_to_string(run.join("labels.txt")).unwrap(),
        "family:Acanthaceae\nfamily:Betulaceae\nkingdom:Plantae\n"
    );
    let (header, rows) = table(&run.join("input_data.csv"));
    assert_eq!(
        header,
        ["sample", "bp", "img_kmer_mapping", "img_kmer_size", "path", "labels", "possible_low_quality", "is_valid"]
    );
    assert_eq!(rows.len(), 24);
    // A fifth of the six samples of each family, whole samples.
    let valid: HashSet<&str> = rows.iter().filter(|row| row[7] == "True").map(|row| row[0].as_str()).collect();
    let train: HashSet<&str> = rows.iter().filter(|row| row[7] == "False").map(|row| row[0].as_str()).collect();
    assert_eq!((valid.len(), valid.intersection(&train).count()), (2, 0));
    let flagged: HashSet<&str> = rows.iter().filter(|row| row[6] == "True").map(|row| row[0].as_str()).collect();
    assert_eq!(flagged, HashSet::from(["S03"]));

    // The pictures without their folder's run; one has no labels.
    let model = run.join("trained_model.ckpt");
    std::fs::rename(&model, place.path().join("model.ckpt")).unwrap();
    pictures::varkode(&place.path().join("query"), "X", 500, "", false, 0);
    pictures::varkode(&place.path().join("query"), "Y", 500, "family:Betulaceae", false, 1);
    let query = "infer model.ckpt query format=varkoder";
    place.ok(&format!("{query} out=predictions.csv include_probs=true"));
    let (header, rows) = table(&place.path().join("predictions.csv"));
    assert_eq!(
        header[..13],
        [
            "varKode_image_path",
            "sample_id",
            "query_basepairs",
            "query_kmer_len",
            "query_mapping",
            "trained_model_path",
            "actual_labels",
            "possible_low_quality",
            "basefrequency_sd",
            "prediction_type",
            "prediction_threshold",
            "predicted_labels",
            "family:Acanthaceae",
        ]
    );
    assert_eq!(rows[0][1..5], ["X", "500000", "5", "varKode"]);
    assert_eq!((rows[0][6].as_str(), rows[1][6].as_str()), ("", "family:Betulaceae"));
    assert_eq!(rows[0][9..11], ["Multilabel", "0.7"]);
    let again = place.run(&format!("{query} out=predictions.csv"));
    assert!(again.code != 0 && again.err.contains("overwrite=true"), "{}", again.err);
    place.ok(&format!("{query} out=predictions.csv overwrite=true model.threshold=0.0"));
    let (_, rows) = table(&place.path().join("predictions.csv"));
    assert_eq!(rows[0][11], "family:Acanthaceae;family:Betulaceae;kingdom:Plantae");
}

#[test]
fn one_label_a_picture() {
    let place = place();
    let single = format!("{EXPERIMENT} model=varkoder_single_label data.problem=single_label");
    let call = place.ok(&format!("{single} callbacks.fine_tune.epochs=1 hydra.run.dir=single"));
    assert!(call.err.contains("count as one class"), "{}", call.err);
    let (header, _) = table(&place.path().join("single/csv/version_0/metrics.csv"));
    assert!(header.iter().any(|name| name == "val/accuracy"), "{header:?}");
    place.ok("infer single pictures format=varkoder out=all.csv include_probs=true");
    let (header, rows) = table(&place.path().join("all.csv"));
    let classes = ["family:Acanthaceae;kingdom:Plantae", "family:Betulaceae;kingdom:Plantae"];
    assert_eq!(header[9..], [["prediction_type", "best_pred_label", "best_pred_prob"].as_slice(), &classes].concat());
    assert_eq!(rows.len(), 24);
    for row in rows {
        let best = header.iter().position(|name| *name == row[10]).unwrap();
        assert_eq!((row[9].as_str(), &row[11]), ("Single label", &row[best]));
    }
}

#[test]
fn only_the_head_learns_while_the_body_is_frozen() {
    let place = place();
    let line = "train experiment=varkoder data.root=pictures model.net.architecture=resnet18 \
        model.net.random_weights=true callbacks.model_summary=null callbacks.fine_tune.epochs=0 \
        callbacks.fine_tune.freeze_epochs=1 ~model.metrics +model.metrics={} trainer.limit_val_batches=1";
    place.ok(&format!("{line} trainer.limit_train_batches=1 hydra.run.dir=one"));
    place.ok(&format!("{line} trainer.limit_train_batches=3 hydra.run.dir=three"));
    let open = |run: &str| TensorFile::open(&place.path().join(run).join("trained_model.ckpt")).unwrap();
    let (one, three) = (open("one"), open("three"));
    let differs = |name: &str| one.tensor(name).unwrap() != three.tensor(name).unwrap();
    let names: Vec<String> = one.names().filter(|name| name.ends_with(".weight")).map(str::to_owned).collect();
    let convolutions: Vec<&String> = names.iter().filter(|name| name.contains(".conv")).collect();
    assert!(!convolutions.is_empty() && convolutions.iter().all(|name| !differs(name)), "{names:?}");
    let norms: Vec<&String> = names.iter().filter(|name| name.contains(".bn")).collect();
    assert!(norms.iter().all(|name| differs(name)), "{norms:?}");
    assert!(norms.iter().all(|name| differs(&name.replace(".weight", ".running_mean"))));
    assert!(names.iter().filter(|name| name.starts_with("net.1.")).all(|name| differs(name)), "{names:?}");
    let (header, _) = table(&place.path().join("three/csv/version_0/metrics.csv"));
    assert!(!header.iter().any(|name| name.contains("roc_auc") || name.contains("recall")), "{header:?}");
}

fn failed(call: Call, expected: &str) {
    assert!(call.code == 2 && call.err.contains(expected), "{expected}: {}", call.err);
}

#[test]
fn wrong_values_are_named() {
    let place = place();
    let run = |more: &str| place.run(&format!("{EXPERIMENT} {more}"));
    failed(run("model.net.architecture=fiannaca"), "did you mean `fiannaca2018`?");
    failed(run("model.net.architecture=idelucs"), "unknown architecture");
    failed(run("data.batch_transforms.0._target_=runner.transforms.CurMix"), "runner.transforms.CutMix");
    failed(run("model.net.random_weights=false model.net.architecture=resnet18"), "random_weights: true");
    failed(run("model.net.mean=[0.5,0.5,0.5]"), "normalizes nothing");
    failed(run("data.num_workers=many"), "a number of threads, or auto");
    failed(run("data.root=nowhere"), "nowhere");
    place.write("empty/readme.txt", "nothing");
    failed(run("data.root=empty"), "empty");
    place.write("table.csv", "sample,label\nS00,a\n");
    failed(run("data.label_table=table.csv"), "labels");
    failed(run("data.val_ids=[S00,S02,S04,S06,S08,S10]"), "family:Acanthaceae");
    std::fs::copy(
        place.path().join("pictures/S00@00000500K+varKode+k5.png"),
        place.path().join("pictures/odd name.png"),
    )
    .unwrap();
    failed(run(""), "odd name.png");
}

#[test]
fn lighting_and_mixing_are_for_training_alone() {
    let shown = Place::new().ok(&format!("{EXPERIMENT} --cfg job")).out;
    let (train, rest) = shown.split_once("  test_transforms:").unwrap();
    assert!(train.contains("runner.transforms.Lighting") && !rest.contains("Lighting"), "{shown}");
    assert_eq!(shown.matches("runner.transforms.MixUp").count(), 1, "{shown}");
    let off = format!("{EXPERIMENT} --cfg job data.batch_transforms=null data.train_transforms.2.p_lighting=0");
    let shown = Place::new().ok(&off).out;
    assert!(shown.contains("batch_transforms: null") && shown.contains("p_lighting: 0\n"), "{shown}");
}

#[test]
fn equal_seeds_give_equal_splits_and_weights() {
    let place = place();
    let run = |name: &str, more: &str| {
        place.ok(&format!("{EXPERIMENT} callbacks.fine_tune.epochs=1 hydra.run.dir={name} {more}"));
        let run = place.path().join(name);
        let weights = TensorFile::open(&run.join("trained_model.ckpt")).unwrap().tensor("net.6.weight").unwrap();
        let splits = std::fs::read_to_string(run.join("data/splits.csv")).unwrap();
        (weights, splits, json(&run.join("results.json"))["metrics"]["val/loss"].clone())
    };
    let first = run("first", "seed=3");
    let second = run("second", "seed=3 data.num_workers=2");
    assert_eq!(first, second);
    let third = run("third", "seed=4");
    assert_ne!(first.0, third.0);
}

#[test]
fn pictures_are_laid_out_in_the_other_way() {
    let Some(root) = crate::runner::sample("varkoder") else { return };
    let place = Place::new();
    let line =
        format!("convert {} mapping={}", root.join("examples").display(), root.join("7mer_mapping.csv").display());
    let call = place.ok(&format!("{line} to=cgr out=cgr"));
    assert!(call.out.contains("3 pictures converted to cgr, 3 are in that layout already"), "{}", call.out);
    place.ok(&format!("{line} to=varKode out=varKode"));
    let table = std::fs::read_to_string(root.join("7mer_mapping.csv")).unwrap();
    let used: Vec<(u32, u32)> = table
        .lines()
        .skip(1)
        .map(|row| row.split(',').skip(1).map(|number| number.parse().unwrap()).collect::<Vec<u32>>())
        .map(|cell| (cell[0], 90 - cell[1]))
        .collect();
    for sample in ["Animalia_Cerambycidae_SRR15249224@00010000K", "Fungi_Amanitaceae_SRR15292413@00010000K"] {
        let open = |path: std::path::PathBuf| image::open(path).unwrap().into_luma8();
        let cgr = format!("{sample}+cgr+k7.png");
        assert_eq!(open(place.path().join("cgr").join(&cgr)), open(root.join("examples").join(&cgr)));
        let varkode = format!("{sample}+varKode+k7.png");
        let (found, expected) =
            (open(place.path().join("varKode").join(&varkode)), open(root.join("examples").join(&varkode)));
        assert!(used.iter().all(|(x, y)| found.get_pixel(*x, *y) == expected.get_pixel(*x, *y)));
    }
    // The labels are kept: the converted pictures can be trained on.
    let again = place.run(&format!("{line} to=cgr out=cgr"));
    assert!(again.code == 2 && again.err.contains("overwrite=true"), "{}", again.err);
    place.ok(&format!("{line} to=cgr out=cgr overwrite=true"));
    let bytes = std::fs::read(place.path().join("cgr/Animalia_Cerambycidae_SRR15249224@00010000K+cgr+k7.png")).unwrap();
    let holds = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    assert!(holds(b"varkoderKeywords\x0034667") && holds(b"varkoderMapping\0cgr"));
}
