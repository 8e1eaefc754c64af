//! varKoder's pictures: labels from their text or a table, parts by sample, batches.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::pictures;
use crate::runner::{Place, json, sample};
use crate::sample_data::made_up;
use crate::varkoder::{EXPERIMENT, place, table};

/// Looks at the data of the experiment; everything is below `out` then.
fn look(place: &Place, out: &str, more: &str) -> crate::runner::Call {
    let network = "model.net.architecture=arias2022 model.net.random_weights=true";
    place.ok(&format!("data experiment=varkoder data.root=pictures {network} samples=1 --out {out} {more}"))
}

/// The samples of each part that `input_data.csv` names.
fn parts(run: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let (header, rows) = table(&run.join("input_data.csv"));
    let column = |name: &str| header.iter().position(|column| column == name).unwrap();
    let (sample, valid) = (column("sample"), column("is_valid"));
    let mut parts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in rows {
        parts.entry(row[valid].clone()).or_default().insert(row[sample].clone());
    }
    parts
}

fn names(letter: char, count: usize) -> BTreeSet<String> {
    (0..count).map(|number| format!("{letter}{number}")).collect()
}

#[test]
fn chosen_samples_are_validated_and_a_last_batch_that_is_not_full_is_left_out_of_training_alone() {
    let place = Place::new();
    for (letter, count) in [('T', 37), ('V', 5)] {
        for number in 0..count {
            let labels = ["family:A;kingdom:P", "family:B;kingdom:P"][number % 2];
            let name = format!("{letter}{number}");
            pictures::varkode(&place.path().join("pictures"), &name, 500, labels, false, number as u64 % 2);
        }
    }
    let batches = "data.batches_per_epoch=null data.batch_size=8";
    let wanted = BTreeMap::from([("False".to_owned(), names('T', 37)), ("True".to_owned(), names('V', 5))]);

    // The list typed in; as many threads as there are cores; silent.
    let list = "data.val_ids=[V0,V1,V2,V3,V4]";
    let quiet = "~callbacks.table data.num_workers=auto callbacks.fine_tune.epochs=1";
    let call = place.ok(&format!("{EXPERIMENT} {batches} {list} {quiet} hydra.run.dir=run"));
    assert!(!call.out.contains("train_loss"), "{}", call.out);
    let run = place.path().join("run");
    assert_eq!(parts(&run), wanted);
    assert_eq!(json(&run.join("results.json"))["steps"], 4, "37 pictures are four batches of 8");
    place.ok("predict ckpt_path=run split=val hydra.run.dir=predicted");
    let (_, predicted) = table(&place.path().join("predicted/predictions.csv"));
    assert_eq!(predicted.len(), 5, "validation has all of its pictures");

    // The list in a file; who is not there is named.
    place.write("valid.txt", "V0,V1,V2,V3,V4,Nobody\n");
    let call = look(&place, "seen", &format!("{batches} data.val_ids=valid.txt"));
    assert!(call.out.contains("train         37 samples       4 batches of 8"), "{}", call.out);
    assert!(call.out.contains("val            5 samples       1 batches of 8"), "{}", call.out);
    assert!(call.err.contains("Nobody"), "{}", call.err);
    assert_eq!(parts(&place.path().join("seen")), wanted);

    // A folder that is taken stays as it is: the next run gets one of its own.
    let before = std::fs::read(run.join("trained_model.ckpt")).unwrap();
    place.ok(&format!("{EXPERIMENT} {batches} {list} {quiet} seed=9 trainer.limit_train_batches=1 hydra.run.dir=run"));
    assert!(place.path().join("run_1/trained_model.ckpt").is_file());
    assert_eq!(before, std::fs::read(run.join("trained_model.ckpt")).unwrap());
}

#[test]
fn a_table_gives_the_labels_and_says_which_it_lacks() {
    let place = place();
    // A byte-order mark, trailing commas; no row for three of the twelve samples.
    let rows: String = (0..9).map(|sample| format!("S{sample:02},kind:{},\n", ["a", "b", "c"][sample % 3])).collect();
    place.write("labels.csv", &format!("\u{feff}sample,labels,\n{rows}"));
    let call = look(&place, "seen", "data.label_table=labels.csv data.valid_fraction=0.34");
    assert!(call.err.contains("no row for 3 samples, which are left out: S09, S10, S11"), "{}", call.err);
    assert!(call.err.contains("no picture has more than one label: data.problem=single_label"), "{}", call.err);
    let seen = place.path().join("seen");
    assert_eq!(std::fs::read_to_string(seen.join("labels.txt")).unwrap(), "kind:a\nkind:b\nkind:c\n");
    // Labels of a table say nothing of quality.
    let (header, rows) = table(&seen.join("input_data.csv"));
    assert_eq!(header, ["sample", "bp", "img_kmer_mapping", "img_kmer_size", "path", "labels", "is_valid"]);
    assert_eq!(rows.len(), 18);
    // A third of the three samples of each label.
    assert_eq!(parts(&seen)["True"].len(), 3);

    for (text, expected) in [
        ("sample,taxon\nS00,a\n", "no column `labels`"),
        ("sample,labels\nS00,a\nS00,b\n", "`S00` stands in column `sample` of lines 2 and 3"),
        ("sample,labels\nZ,a\n", "has no row for any sample"),
        ("sample,labels\nS00,a~b\n", "the label `a~b` has a @, ~ or + in it"),
    ] {
        place.write("labels.csv", text);
        let call = place.run(&format!("{EXPERIMENT} data.label_table=labels.csv"));
        assert!(call.code == 2 && call.err.contains(expected), "{expected}: {}", call.err);
    }
    assert!(!place.path().join("outputs").exists());
}

#[test]
fn pictures_that_cannot_be_read_stop_the_run_or_are_left_out() {
    let place = place();
    let folder = place.path().join("pictures");
    let one = folder.join("S02@00000500K+varKode+k5.png");
    let bytes = std::fs::read(&one).unwrap();
    // Within its pixels, within its text, and nothing at all.
    std::fs::write(&one, &bytes[..bytes.len() - 30]).unwrap();
    std::fs::write(folder.join("S04@00000500K+varKode+k5.png"), &bytes[..50]).unwrap();
    std::fs::write(folder.join("S06@00000500K+varKode+k5.png"), "").unwrap();
    let call = place.run(&format!("{EXPERIMENT} callbacks.fine_tune.epochs=1"));
    assert!(call.code != 0 && call.err.contains("S02@00000500K+varKode+k5.png"), "{}", call.err);
    let call = look(&place, "seen", "data.on_error=skip");
    assert!(call.err.contains("3 images cannot be read and left out of every epoch"), "{}", call.err);
    let (_, skipped) = table(&place.path().join("seen/data/skipped.csv"));
    let skipped: Vec<&str> = skipped.iter().map(|row| &row[0][..3]).collect();
    assert_eq!(skipped, ["S02", "S04", "S06"]);
    let (_, rows) = table(&place.path().join("seen/input_data.csv"));
    assert_eq!(rows.len(), 21);

    std::fs::copy(folder.join("S00@00000500K+varKode+k5.png"), folder.join("S00@00000500K+varKode+k12.png")).unwrap();
    let call = place.run(EXPERIMENT);
    assert!(call.code == 2 && call.err.contains("there are no pictures of 12-mers"), "{}", call.err);
}

/// Three families, told apart by a small network that begins with random weights: real counts with noise where they
/// are here, else made-up ones of their statistics.
#[test]
fn families_are_learned() {
    let place = Place::new();
    let (pictures, labels) = match sample("varkoder") {
        Some(root) => (root.join("derived"), root.join("derived_labels.csv")),
        None => {
            made_up(&place, "varkoder made");
            (place.path().join("made/pictures"), place.path().join("made/labels.csv"))
        }
    };
    place.ok(&format!(
        "train experiment=varkoder data.root={} data.label_table={} model.net.architecture=resnet18 \
         model.net.random_weights=true callbacks.fine_tune.epochs=8 callbacks.model_summary=null hydra.run.dir=run",
        pictures.display(),
        labels.display()
    ));
    let run = place.path().join("run");
    let parts = parts(&run);
    // Two groups a family: six samples of usual quality, of which one is validated, and two of low quality.
    assert_eq!((parts["True"].len(), parts["False"].len()), (3, 21));
    let metrics = json(&run.join("results.json"))["metrics"].clone();
    assert!(metrics["val/roc_auc"].as_f64().unwrap() > 0.9, "{metrics}");
}
