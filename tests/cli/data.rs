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
    std::fs::remove_file(place.path().join("two/a/palette.png")).unwrap();
    let call = place.ok(line);
    assert!(call.out.contains("11  images of 2 classes (0 links made, 1 removed)"), "{}", call.out);

    // Stopped while it was at work: half a journal, no report, links to be made and removed.
    let journal = place.path().join("all/.checked.csv");
    let text = std::fs::read(&journal).unwrap();
    std::fs::write(&journal, &text[..text.len() / 2]).unwrap();
    for name in ["report.csv", "b/0000001.jpg"] {
        std::fs::remove_file(place.path().join("all").join(name)).unwrap();
    }
    let call = place.ok(line);
    assert!(call.out.contains("11  images of 2 classes (1 links made, 0 removed)"), "{}", call.out);
    assert_eq!(std::fs::read_to_string(place.path().join("all/report.csv")).unwrap().lines().count(), 14);

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

/// malpolon's sample of GeoLifeCLEF 2023 comes with its own: 97.253 and 40.704 over all four channels.
#[test]
fn satellite_patches_of_two_files_have_their_published_statistics() {
    let Some(root) = sample("malpolon/glc23") else { return };
    let place = Place::new();
    let folder = "{patchID[-2:]}/{patchID[-4:-2]}/{patchID}.jpeg";
    let text = format!(
        "# @package _global_\ndefaults:\n  - override /data: image_table\ndata:\n  table: {0}/Presence_only_occurrences/\
         Presences_only_train_sample.csv\n  root: {0}/SatelliteImages\n  label_columns: speciesId\n  \
         id_column: patchID\n  stratify: false\n  train_val_test_split: [1.0, 0.0, 0.0]\n  files:\n    \
         - {{path: \"rgb/{folder}\", mode: RGB}}\n    - {{path: \"nir/{folder}\", mode: L}}\n",
        root.display()
    );
    place.write("conf/experiment/patches.yaml", &text);
    let out = place.ok("prepare stats experiment=patches").out;
    assert!(out.contains("100 images, 6553600 values") && out.contains("of 0 to 255: 97.253 and 40.704"), "{out}");
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

#[test]
fn an_unreadable_image_stops_the_run_or_is_left_out() {
    let place = Place::new();
    mixed(&place);
    let line = "train data=image_folder data.root=one data.train_val_test_split=[0.7,0.3,0.0] data.batch_size=2 \
                model.net.num_classes=2 model.net.channels=[4,4] trainer.max_epochs=1 test=false callbacks=none";
    let call = place.run(line);
    assert_eq!(call.code, 1, "{}{}", call.out, call.err);
    assert!(call.err.contains("one/a/broken.jpg: it is not an image of a known format"), "{}", call.err);
    let call = place.ok(&format!("{line} data.on_error=skip"));
    assert!(call.err.contains("1 image cannot be read and left out of every epoch"), "{}", call.err);
    let run = place.runs("train").into_iter().find(|run| run.join("data/skipped.csv").is_file()).unwrap();
    let skipped = std::fs::read_to_string(run.join("data/skipped.csv")).unwrap();
    assert!(skipped.starts_with("id,reason\na/broken.jpg,"), "{skipped}");
    let counts = std::fs::read_to_string(run.join("data/counts.csv")).unwrap();
    assert_eq!(counts, "split,samples\ntrain,4\nval,2\ntest,0\n");
    let splits = std::fs::read_to_string(run.join("data/splits.csv")).unwrap();
    assert_eq!(splits.lines().count(), 7, "{splits}");
}

#[test]
fn what_cannot_be_read_says_where_and_what_to_type() {
    let place = Place::new();
    mixed(&place);
    place.write("t.csv", "path,label\none/a/420.jpg,x\none/a/gone.jpg,y\none/b/gone.jpg,y\n");
    place.write("twice.csv", "path,id,label\none/a/420.jpg,7,x\none/b/422.jpg,7,y\n");
    place.write("number.csv", "path,height\none/a/420.jpg,1.5\none/b/422.jpg,NaN\n");
    place.write("semicolon.csv", "path;label\none/a/420.jpg;x\n");
    place.write("all/x/1.txt", "no image");
    place.write("file", "a file");
    let images = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images");
    for class in ["x", "y"] {
        std::fs::create_dir_all(place.path().join("bombs").join(class)).unwrap();
        std::fs::copy(images.join("420.jpg"), place.path().join("bombs").join(class).join("0.jpg")).unwrap();
    }
    let table = "data=image_table data.root=. data.table=";
    for (line, parts) in [
        (
            format!("{table}t.csv"),
            vec!["2 of 3 rows name files that are not there", "t.csv, line 3", "data.missing_files"],
        ),
        (
            format!("{table}twice.csv data.id_column=id"),
            vec!["`7` stands in column `id` of lines 2 and 3", "data.merge_rows"],
        ),
        (
            format!("{table}number.csv data.label_columns=null data.value_columns=height"),
            vec!["number.csv, line 3", "`NaN` in column `height`"],
        ),
        (format!("{table}semicolon.csv data.separator=','"), vec!["is the separator right?"]),
        ("data=image_folder data.root=all".into(), vec!["all/x holds no images", "jpg"]),
        ("data=image_folder data.root=nowhere".into(), vec!["there is no folder nowhere", "data.root"]),
        (
            "data=image_folder data.root=bombs data.max_image_pixels=1000".into(),
            vec!["bombs/", "117x83 pixels, more than the 1000 allowed", "max_image_pixels"],
        ),
        (
            "data=image_folder data.root=bombs data.cache=disk data.cache_dir=file/cache".into(),
            vec!["write the cache", "data.cache_dir"],
        ),
        ("data=image_folder data.root=bombs data.folds=3".into(), vec!["cannot be cut into 3 folds"]),
        ("data=image_folder data.root=bombs data.folds=3 data.fold=3".into(), vec!["numbered from 0"]),
        ("data=image_folder data.root=bombs data.val_ids=x/7.jpg".into(), vec!["val_ids names", "like `x/0.jpg`"]),
        (
            "data=image_folder data.root=bombs data.train_val_test_split=[0.0,0.5,0.5]".into(),
            vec!["the training part is empty"],
        ),
        (
            "data=digits data.sampler={_target_:torch.utils.data.WeightedRandomSampler,weights:[1]}".into(),
            vec!["1 weights for"],
        ),
    ] {
        let call = place.run(&format!("check {line}"));
        assert_ne!(call.code, 0, "{line}\n{}", call.out);
        for part in parts {
            assert!(call.err.contains(part), "{line}\n{part}\n{}", call.err);
        }
        assert!(!call.err.contains("panicked"), "{}", call.err);
    }
    assert!(!place.path().join("outputs").exists());
}
