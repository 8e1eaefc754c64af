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

/// Small pictures of ten classes, some of them broken.
fn mixed(place: &Place) {
    let images = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images");
    for (class, names) in [("a", ["420.jpg", "palette.png", "lossy.webp"]), ("b", ["422.jpg", "gray.jpg", "cmyk.jpg"])]
    {
        for source in ["one", "two"] {
            let folder = place.path().join(source).join(class);
            std::fs::create_dir_all(&folder).unwrap();
            for name in names {
                std::fs::copy(images.join(name), folder.join(name)).unwrap();
            }
        }
    }
    place.write("one/a/broken.jpg", "no picture");
    place.write("two/b/empty.png", "");
    place.write("two/notes.txt", "a file beside the classes");
}

#[test]
fn sources_become_one_folder_of_links() {
    let place = Place::new();
    mixed(&place);
    let line = "prepare image-folder one two --out all";
    let call = place.ok(line);
    assert!(call.out.contains("12  images of 2 classes (12 links made, 0 removed)"), "{}", call.out);
    assert!(call.out.contains("2  files cannot be read"), "{}", call.out);
    let link = place.path().join("all/a/0000000.jpg");
    assert!(std::fs::read_link(&link).unwrap().is_absolute() && link.is_file());
    let report = std::fs::read_to_string(place.path().join("all/report.csv")).unwrap();
    assert!(report.contains("broken.jpg,,") && report.contains("the file is empty"), "{report}");
    assert_eq!(report.lines().count(), 15);

    // Again: nothing to do. A new image and a vanished one: only what changed.
    assert!(place.ok(line).out.contains("(0 links made, 0 removed)"));
    std::fs::remove_file(place.path().join("two/a/lossy.webp")).unwrap();
    let call = place.ok(line);
    assert!(call.out.contains("11  images of 2 classes (0 links made, 1 removed)"), "{}", call.out);

    // The folder is what image_folder reads.
    let size = "data=image_folder data.root=all data.num_workers=0";
    place.ok(&format!("data {size} --out seen"));

    for (line, part) in [
        ("prepare image-folder one two", "no output folder"),
        ("prepare image-folder nowhere --out all", "there is no folder nowhere"),
        ("prepare image-folder one --out one/new", "lie in one another"),
        ("prepare images", "has no `images`"),
    ] {
        let call = place.run(line);
        assert_eq!(call.code, 2, "{}", call.err);
        assert!(call.err.contains(part), "{}", call.err);
    }
}

#[test]
fn placeholders_are_no_pictures() {
    let Some(root) = sample("moths/test_data") else { return };
    let place = Place::new();
    let (a, b) = (root.join("source_a"), root.join("source_b"));
    let call = place.ok(&format!("prepare image-folder {} {} --out links", a.display(), b.display()));
    assert!(call.out.contains("0  images of") && call.out.contains("19  files cannot be read"), "{}", call.out);
}

#[test]
fn statistics_are_those_of_all_pixels() {
    let Some(root) = sample("malpolon/glc23/SatelliteImages") else { return };
    let place = Place::new();
    let folder = |name: &str| root.join(name).display().to_string();
    let call = place.ok(&format!("prepare stats {} {} --json --out stats.json", folder("rgb"), folder("nir")));
    let found: serde_json::Value = serde_json::from_str(&call.out).unwrap();
    assert_eq!(found["images"], 200);
    // Those of jpeg_patches_sample_stats.csv, over all four channels.
    assert!((found["mean"].as_f64().unwrap() * 255.0 - 97.253).abs() < 1e-3, "{found}");
    assert!((found["std"].as_f64().unwrap() * 255.0 - 40.704).abs() < 1e-3, "{found}");
    assert_eq!(json(&place.path().join("stats.json")), found);
}

#[test]
fn what_the_model_sees_can_be_looked_at() {
    let place = Place::new();
    let call = place.ok("data --out seen samples=12");
    for part in ["train       1438 samples", "10 classes", "all pictures  8x8"] {
        assert!(call.out.contains(part), "{part}: {}", call.out);
    }
    let seen = place.path().join("seen");
    let page = std::fs::read_to_string(seen.join("data.html")).unwrap();
    assert_eq!(page.matches("<figure><img").count(), 12);
    assert!(std::fs::read(seen.join("sheet.png")).unwrap().starts_with(b"\x89PNG"));
    assert!(seen.join("data/splits.csv").is_file() && seen.join("data/classes.csv").is_file());

    let call = place.ok("data speed epochs=1 --json data.num_workers=2");
    let speed: serde_json::Value = serde_json::from_str(call.out.trim()).unwrap();
    assert_eq!((speed["samples"].as_u64(), speed["workers"].as_u64()), (Some(1438), Some(2)));
    let call = place.ok("prepare stats --json");
    let stats: serde_json::Value = serde_json::from_str(&call.out).unwrap();
    assert_eq!(stats["images"], 1438);
    let call = place.run("data split=other");
    assert!(call.code == 2 && call.err.contains("there is no split `other`"), "{}", call.err);
    // Numbers are no pictures: there is no sheet, and no failure.
    place.ok("data data=random --out numbers");
}
