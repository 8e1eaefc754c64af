//! Real data beside the embedded digits.

use crate::runner::{Place, json, sample};

#[test]
fn mnist_is_learnt_from_idx_files() {
    let Some(root) = sample("mnist-t10k") else { return };
    let place = Place::new();
    place.ok(&format!("train data=mnist data.root={} trainer.max_epochs=5", root.display()));
    let results = json(&place.only_run("train").join("results.json"));
    assert!(results["metrics"]["test/acc"].as_f64().unwrap() >= 0.98, "{results}");
}

#[test]
fn a_folder_of_jpegs_is_learnt() {
    let Some(root) = sample("cifar10/images") else { return };
    let place = Place::new();
    place.ok(&format!("train data=cifar10 data.root={} trainer.max_epochs=3", root.display()));
    let results = json(&place.only_run("train").join("results.json"));
    // Ten classes, 3,000 pictures: far above chance.
    assert!(results["metrics"]["test/acc"].as_f64().unwrap() >= 0.3, "{results}");
}

#[test]
fn broken_and_missing_data_is_named() {
    let place = Place::new();
    let call = place.run("train data=mnist data.root=nowhere data.download=false");
    assert_ne!(call.code, 0);
    assert!(call.err.contains("nowhere"), "{}", call.err);
    for name in ["t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"] {
        place.write(&format!("broken/{name}"), "this is no gzip file");
    }
    let call = place.run("train data=mnist data.root=broken data.download=false");
    assert_ne!(call.code, 0);
    assert!(call.err.contains("idx") && !call.err.contains("panicked"), "{}", call.err);
    place.write("images/train/a/1.jpg", "not a picture");
    place.write("images/train/b/1.jpg", "not a picture");
    let call = place.run("train data=image_folder data.root=images");
    assert_ne!(call.code, 0);
    assert!(call.err.contains("1.jpg") || call.err.contains("images"), "{}", call.err);
    assert!(!place.path().join("outputs").exists());
}
