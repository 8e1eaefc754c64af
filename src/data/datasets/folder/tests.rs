use std::sync::Arc;

use super::*;
use crate::data::Dataset;
use crate::data::SampleKey;
use crate::data::datasets::images::ImageDataset;
use crate::data::datasets::split::SplitRule;
use crate::data::datasets::testing;

fn png(path: &Path, width: u32, height: u32, colour: [u8; 3]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::RgbImage::from_pixel(width, height, image::Rgb(colour)).save(path).unwrap();
}

fn folders(root: &Path) -> Folders {
    Folders::plain(vec![root.to_path_buf()], Decode::default())
}

fn sizes(root: &Path, sizes: Option<[IntOrFloat; 3]>) -> [usize; 3] {
    let records = folders(root).load().unwrap();
    let parts = SplitRule::sizes(sizes.map(|sizes| sizes.to_vec()), 42).apply(&records.unsplit()).unwrap();
    [parts.train.len(), parts.val.len(), parts.test.len()]
}

#[test]
fn classes_and_files_are_in_order_and_links_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("set");
    for i in 0..10 {
        png(&root.join(format!("b/{i}.png")), 2, 2, [200, i, 0]);
        png(&root.join(format!("a/deep/{i}.PNG")), 2, 2, [100, i, 0]);
    }
    std::fs::write(root.join("a/notes.txt"), "no image").unwrap();
    std::fs::write(root.join("a/.hidden.png"), "no image").unwrap();
    png(&folder.path().join("elsewhere/z.png"), 2, 2, [1, 2, 3]);
    #[cfg(unix)]
    std::os::unix::fs::symlink(folder.path().join("elsewhere"), root.join("c")).unwrap();
    let loaded = folders(&root).load().unwrap();
    assert_eq!(loaded.levels[0].classes, ["a", "b", "c"]);
    assert_eq!(loaded.images.len(), 21);
    assert_eq!(sizes(&root, None).iter().sum::<usize>(), 21);
    let dataset = ImageDataset::new(Arc::new(loaded), (0..21).collect(), Pipeline::normalize(&[0.0], &[1.0]));
    assert_eq!((dataset.id(0).as_str(), dataset.id(20).as_str()), ("a/deep/0.PNG", "c/z.png"));
    let keys = [3, 13].map(|index| SampleKey { seed: 0, epoch: 0, index });
    let batch = dataset.batch(&keys).unwrap();
    assert_eq!(Vec::<i64>::try_from(batch.target().unwrap()).unwrap(), [0, 1]);
    let input = batch.input().unwrap();
    assert_eq!(input.size(), [2, 3, 2, 2]);
    assert_eq!(Vec::<f32>::try_from(input.select(0, 1).select(0, 0).flatten(0, -1)).unwrap(), [200.0f32 / 255.0; 4]);
    // A batch equals its samples.
    let one = dataset.sample(keys[1]).unwrap();
    assert_eq!(one.fields["input"], input.select(0, 1));
}

#[test]
fn folders_of_parts() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for i in 0..20 {
        png(&root.join(format!("train/{}/{i}.png", ["x", "y"][i % 2])), 2, 2, [0; 3]);
    }
    for i in 0..4 {
        png(&root.join(format!("test/{}/{i}.png", ["x", "y"][i % 2])), 2, 2, [0; 3]);
    }
    assert_eq!(sizes(root, None), [18, 2, 4]);
    assert_eq!(sizes(root, Some([0.6, 0.2, 0.2].map(IntOrFloat::Float))), [15, 5, 4]);
    assert_eq!(sizes(root, Some([10, 4, 2].map(IntOrFloat::Int))), [10, 4, 2]);
    png(&root.join("val/x/0.png"), 2, 2, [0; 3]);
    assert_eq!(sizes(root, None), [20, 1, 4]);
    png(&root.join("test/z/0.png"), 2, 2, [0; 3]);
    let error = folders(root).load().err().unwrap().to_string();
    assert!(error.contains("test/z: no training folder has this class; the classes are x, y"), "{error}");
}

#[test]
fn empty_folders_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let error = folders(root).load().err().unwrap().to_string();
    assert!(error.contains("has no folders: each class is a folder"), "{error}");
    png(&root.join("a/0.png"), 2, 2, [0; 3]);
    std::fs::create_dir(root.join("b")).unwrap();
    let error = folders(root).load().err().unwrap().to_string();
    assert!(error.contains("/b holds no images"), "{error}");
}

#[test]
fn images_that_cannot_be_read_are_named_and_cached_ones_are_read_once() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    png(&root.join("a/0.png"), 2, 2, [9; 3]);
    png(&root.join("a/1.png"), 3, 2, [9; 3]);
    std::fs::write(root.join("a/2.png"), "").unwrap();
    let mut loaded = folders(root).load().unwrap();
    if let Images::Files(files) = &mut loaded.images {
        files.keep_in_memory();
    }
    let pipeline = Pipeline::normalize(&[0.0], &[1.0]);
    let dataset = ImageDataset::new(Arc::new(loaded), vec![0, 1, 2], pipeline);
    let key = |index| SampleKey { seed: 0, epoch: 0, index };
    let error = dataset.batch(&[key(2)]).unwrap_err().to_string();
    assert!(error.ends_with("a/2.png: the file is empty"), "{error}");
    let error = dataset.batch(&[key(0), key(1)]).unwrap_err().to_string();
    assert!(
        error.starts_with("image a/0.png is floats of shape [3, 2, 2] after the transforms and a/1.png is floats"),
        "{error}"
    );
    std::fs::remove_file(root.join("a/0.png")).unwrap();
    assert!(dataset.batch(&[key(0)]).is_ok());
}

/// Twelve images in two folders; each fold validates others, and half of the training part is used.
#[test]
fn several_folders_folds_and_a_part_of_the_training() {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..4 {
        png(&folder.path().join(format!("one/a/{i}.png")), 2, 2, [0; 3]);
        png(&folder.path().join(format!("one/b/{i}.png")), 2, 2, [0; 3]);
        png(&folder.path().join(format!("two/b/{i}.png")), 2, 2, [0; 3]);
    }
    let text = |more: &str| {
        let roots = ["one", "two"].map(|name| folder.path().join(name).display().to_string()).join(", ");
        format!("_target_: runner.data.ImageFolder\nroot: [{roots}]\n{more}")
    };
    let mut seen = BTreeSet::new();
    for fold in 0..3 {
        let set = testing::module(&text(&format!(
            "folds: 3\nfold: {fold}\ntrain_val_test_split: [0.5, 0.5, 0.0]\nsubset: 0.5\n"
        )));
        let set = set.unwrap();
        assert_eq!(set.facts().classes, ["a", "b"]);
        assert_eq!(testing::sizes(set.as_ref()), [4, 4, 0]);
        let loader = set.loader(crate::data::Split::Val).unwrap().unwrap();
        seen.extend((0..4).map(|i| loader.dataset.id(i)));
    }
    assert_eq!(seen.len(), 12, "{seen:?}");
    let set = testing::module(&text("train_val_test_split: [1.0, 0.0, 0.0]\nsubset: 3\n")).unwrap();
    assert_eq!(testing::sizes(set.as_ref()), [3, 0, 0]);
}
