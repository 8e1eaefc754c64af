//! varKoder's networks: by their names, from weights of a file, from a run with other labels.

use runner::checkpoint::TensorFile;

use crate::pictures;
use crate::runner::Place;
use crate::varkoder::{place, table};

/// A batch of an epoch with a network of timm.
const QUICK: &str = "train experiment=varkoder data.root=pictures callbacks.model_summary=null \
    ~model.metrics +model.metrics={} trainer.limit_train_batches=1 trainer.limit_val_batches=1";

fn open(place: &Place, run: &str) -> TensorFile {
    TensorFile::open(&place.path().join(run).join("trained_model.ckpt")).unwrap()
}

/// The training with random weights and the one of the head alone, for each kind of network.
#[test]
fn networks_of_every_kind_are_trained_whole_and_frozen() {
    let place = Place::new();
    for sample in 0..6 {
        let labels = ["family:A;kingdom:P", "family:B;kingdom:P"][sample % 2];
        pictures::varkode(&place.path().join("pictures"), &format!("S{sample}"), 500, labels, false, sample as u64 % 2);
    }
    // Networks of so few pictures say nothing; that they learn at all is what shows.
    for name in ["resnet50", "vit_tiny_patch16_224"] {
        let line = format!("{QUICK} data.batches_per_epoch=2 model.net.architecture={name}");
        place.ok(&format!(
            "{line} model.net.random_weights=true callbacks.fine_tune.epochs=1 callbacks.fine_tune.freeze_epochs=0 \
             hydra.run.dir={name}"
        ));
        let weights = format!("{name}/trained_model.ckpt");
        place.ok(&format!(
            "{line} model.net.continue_from={weights} callbacks.fine_tune.epochs=0 \
             callbacks.fine_tune.freeze_epochs=1 hydra.run.dir={name}_frozen"
        ));
        let (whole, frozen) = (open(&place, name), open(&place, &format!("{name}_frozen")));
        let first = if name == "resnet50" { "net.0.conv1.weight" } else { "net.0.patch_embed.proj.weight" };
        assert_eq!(whole.tensor(first).unwrap(), frozen.tensor(first).unwrap(), "{name}");
        let head = "net.1.2.weight";
        assert_ne!(whole.tensor(head).unwrap(), frozen.tensor(head).unwrap(), "{name}");
        for run in [name.to_owned(), format!("{name}_frozen")] {
            let run = place.path().join(run);
            assert!(["labels.txt", "input_data.csv"].iter().all(|file| run.join(file).is_file()), "{name}");
        }
    }
}

/// One class a picture first; then several labels, the body frozen: what fits is taken over and named, so is the rest.
#[test]
fn a_model_goes_on_with_other_labels() {
    let place = place();
    let line = format!("{QUICK} model.net.architecture=resnet18 model.net.random_weights=true");
    place.ok(&format!(
        "{line} model=varkoder_single_label data.problem=single_label callbacks.fine_tune.epochs=1 \
         hydra.run.dir=single"
    ));
    let call = place.ok(&format!(
        "{line} model.net.continue_from=single callbacks.fine_tune.epochs=0 callbacks.fine_tune.freeze_epochs=1 \
         hydra.run.dir=several"
    ));
    let (single, several) = (open(&place, "single"), open(&place, "several"));
    let count = single.names().filter(|name| !name.starts_with("runner/")).count();
    assert!(call.err.contains(&format!("{} tensors are taken over", count - 1)), "{count}: {}", call.err);
    assert!(call.err.contains("drawn anew") && call.err.contains("1.6.weight"), "{}", call.err);
    for name in ["net.0.conv1.weight", "net.0.layer4.1.conv2.weight"] {
        assert_eq!(single.tensor(name).unwrap(), several.tensor(name).unwrap(), "{name}");
    }
    let classes = |file: &TensorFile| file.tensor("net.1.6.weight").unwrap().size()[0];
    assert_eq!((classes(&single), classes(&several)), (2, 3));

    // The result needs neither the first run nor anything else of the place, wherever it lies.
    std::fs::create_dir(place.path().join("elsewhere")).unwrap();
    std::fs::rename(place.path().join("several"), place.path().join("elsewhere/model")).unwrap();
    std::fs::remove_dir_all(place.path().join("single")).unwrap();
    place.ok("infer elsewhere/model pictures format=varkoder out=found.csv include_probs=true model.threshold=0.5");
    let (header, rows) = table(&place.path().join("found.csv"));
    assert_eq!(header[12..], ["family:Acanthaceae", "family:Betulaceae", "kingdom:Plantae"]);
    assert_eq!((rows.len(), rows[0][10].as_str()), (24, "0.5"));
    for row in &rows {
        let labels: Vec<&str> = header[12..]
            .iter()
            .zip(&row[12..])
            .filter(|(_, p)| p.parse::<f64>().unwrap() >= 0.5)
            .map(|(l, _)| l.as_str())
            .collect();
        assert_eq!(row[11], labels.join(";"));
    }

    // Only the pictures that were validated, by the table that the training has left.
    let (header, rows) = table(&place.path().join("elsewhere/model/input_data.csv"));
    let column = |name: &str| header.iter().position(|column| column == name).unwrap();
    let valid: Vec<&str> =
        rows.iter().filter(|row| row[column("is_valid")] == "True").map(|row| row[column("path")].as_str()).collect();
    place.ok(&format!("infer elsewhere/model {} format=varkoder out=valid.csv", valid.join(" ")));
    let (_, found) = table(&place.path().join("valid.csv"));
    assert_eq!(found.iter().map(|row| row[0].as_str()).collect::<Vec<_>>(), valid);
}

/// The weights of a body in a file: taken as they are, pixels normalized as they want it; needed for training only.
#[test]
fn weights_of_a_file_are_normalized_for_and_drawn_ones_are_not() {
    let place = place();
    let line = format!(
        "{QUICK} model.net.architecture=resnet18 callbacks.fine_tune.epochs=0 \
                        callbacks.fine_tune.freeze_epochs=1"
    );
    place.ok(&format!("{line} model.net.random_weights=true hydra.run.dir=drawn"));
    let drawn = open(&place, "drawn");
    let mean = |file: &TensorFile| Vec::<f32>::try_from(file.tensor("net.normalize.mean").unwrap()).unwrap();
    assert_eq!(mean(&drawn), [0.0; 3]);
    let body: indexmap::IndexMap<String, tch::Tensor> = drawn
        .names()
        .filter_map(|name| Some((name.strip_prefix("net.0.")?.to_owned(), drawn.tensor(name).unwrap())))
        .collect();
    runner::checkpoint::write_pt(&place.path().join("body.pt"), &body, None).unwrap();
    place.ok(&format!("{line} seed=5 model.net.pretrained=body.pt hydra.run.dir=run"));
    let run = open(&place, "run");
    let first = "net.0.conv1.weight";
    assert_eq!(run.tensor(first).unwrap(), drawn.tensor(first).unwrap());
    assert_eq!(mean(&run), [0.485, 0.456, 0.406]);
    std::fs::remove_file(place.path().join("body.pt")).unwrap();
    place.ok("infer run pictures/S00@00000500K+varKode+k5.png format=varkoder out=found.csv");
}
