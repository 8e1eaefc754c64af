//! The same batches bit for bit with any number of workers, from any batch on: every source, cache and sampler, with
//! random transforms of samples and of batches.

use std::path::Path;

use super::testing::module;
use crate::data::{Batch, Field, Split};

/// Everything that is in a batch, as bytes.
fn content(batch: &Batch) -> Vec<(String, Vec<i64>, Vec<u8>)> {
    let fields = batch.fields.iter().map(|(name, field)| {
        let Field::Tensor(tensor) = field else { panic!("a list") };
        let tensor = tensor.contiguous();
        let mut bytes = vec![0; tensor.numel() * tensor.kind().elt_size_in_bytes()];
        crate::native::elements::read_bytes(&tensor, &mut bytes).unwrap();
        (name.clone(), tensor.size(), bytes)
    });
    fields.collect()
}

fn epoch(text: &str, workers: usize, first: usize) -> Vec<(Vec<usize>, Vec<(String, Vec<i64>, Vec<u8>)>)> {
    let set = module(&format!("{text}num_workers: {workers}\n")).unwrap();
    let loader = set.loader(Split::Train).unwrap().unwrap();
    assert_eq!(loader.num_workers, workers);
    loader.epoch(3, first).map(|batch| batch.map(|batch| (batch.indices.clone(), content(&batch))).unwrap()).collect()
}

fn same(text: &str) {
    let alone = epoch(text, 0, 0);
    assert!(alone.len() > 3, "{text}");
    for workers in [1, 2, 8] {
        // Not `assert_eq`: nobody wants to see the bytes.
        assert!(epoch(text, workers, 0) == alone, "{workers} workers\n{text}");
    }
    for workers in [0, 2] {
        assert!(epoch(text, workers, 2) == alone[2..], "from the third batch on, {workers} workers\n{text}");
    }
}

const TRANSFORMS: &str = "train_transforms:
- {_target_: torchvision.transforms.RandomResizedCrop, size: 16}
- {_target_: torchvision.transforms.RandomHorizontalFlip}
- {_target_: torchvision.transforms.ColorJitter, brightness: 0.3, hue: 0.1}
- {_target_: torchvision.transforms.ToTensor}
- {_target_: runner.transforms.Lighting}
- {_target_: torchvision.transforms.RandomErasing, value: random}
test_transforms:
- {_target_: torchvision.transforms.Resize, size: [16, 16]}
- {_target_: torchvision.transforms.ToTensor}
";

const MIXING: &str = "batch_transforms:
- {_target_: timm.data.Mixup, cutmix_alpha: 1.0, num_classes: 2, prob: 0.7}
";

/// Twenty pictures in two classes; every third is a JPEG file.
fn pictures(root: &Path) {
    let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images");
    for number in 0..20u8 {
        let class = root.join(if number % 2 == 0 { "a" } else { "b" });
        std::fs::create_dir_all(&class).unwrap();
        if number % 3 == 0 {
            std::fs::copy(
                images.join(["420.jpg", "422.jpg"][usize::from(number) % 2]),
                class.join(format!("{number}.jpg")),
            )
            .unwrap();
        } else {
            let picture = image::RgbImage::from_fn(30, 25, |x, y| image::Rgb([x as u8 * 7, y as u8 * 9, number * 11]));
            picture.save(class.join(format!("{number}.png"))).unwrap();
        }
    }
}

#[test]
fn folders_with_every_cache_and_sampler() {
    let folder = tempfile::tempdir().unwrap();
    pictures(&folder.path().join("set"));
    let head = format!(
        "_target_: runner.data.ImageFolder\nroot: {0}/set\ncache_dir: {0}/cache\nbatch_size: 3\n\
         train_val_test_split: [1.0, 0.0, 0.0]\n{TRANSFORMS}{MIXING}",
        folder.path().display()
    );
    for more in ["", "cache: ram\n", "cache: disk\n", "prefetch_factor: 1\ndrop_last: true\n"] {
        same(&format!("{head}{more}"));
    }
    let decoded = epoch(&format!("{head}cache: disk\n"), 2, 0);
    for other in ["", "cache: ram\n"] {
        assert!(epoch(&format!("{head}{other}"), 0, 0) == decoded, "a cache changes nothing: {other}");
    }
    // The cache is found by what is in the files.
    let caches = || std::fs::read_dir(folder.path().join("cache")).unwrap().count();
    assert_eq!(caches(), 1);
    image::RgbImage::new(30, 25).save(folder.path().join("set/a/2.png")).unwrap();
    assert!(epoch(&format!("{head}cache: disk\n"), 2, 0) != decoded);
    assert_eq!(caches(), 2);
    let sampler = "sampler: {_target_: runner.data.InverseFrequency, fraction: 0.5, num_samples: 14}\n";
    same(&format!("{head}{sampler}"));
    let weights = (0..20).map(|i| (i % 4).to_string()).collect::<Vec<_>>().join(", ");
    let sampler = "_target_: torch.utils.data.WeightedRandomSampler";
    same(&format!("{head}sampler: {{{sampler}, weights: [{weights}], num_samples: 10, replacement: false}}\n"));

    // What cannot be read is left out of every epoch alike, and listed.
    std::fs::write(folder.path().join("set/a/zz.png"), "no picture").unwrap();
    let skipping = format!("{head}on_error: skip\n");
    same(&skipping);
    let set = module(&skipping).unwrap();
    assert_eq!(set.loader(Split::Train).unwrap().unwrap().dataset.len(), 20);
    set.record(folder.path()).unwrap();
    let listed = std::fs::read_to_string(folder.path().join("data/skipped.csv")).unwrap();
    assert!(listed.starts_with("id,reason\na/zz.png,") && listed.contains("it is not an image"), "{listed}");
    let error = module(&head).err().map(|error| error.to_string()).or_else(|| {
        let loader = module(&head).unwrap().loader(Split::Train).unwrap().unwrap();
        loader.epoch(0, 0).find_map(|batch| batch.err()).map(|error| error.to_string())
    });
    assert!(error.unwrap().contains("a/zz.png: it is not an image"), "the run stops with the path");
}

#[test]
fn tables_arrays_and_numbers() {
    let folder = tempfile::tempdir().unwrap();
    pictures(&folder.path().join("set"));
    let mut table = String::from("id,label\n");
    for number in 0..20 {
        let class = if number % 2 == 0 { "a" } else { "b" };
        std::fs::rename(
            folder.path().join(format!("set/{class}/{number}.{}", if number % 3 == 0 { "jpg" } else { "png" })),
            folder.path().join(format!("set/{number}")),
        )
        .unwrap();
        table.push_str(&format!("{number},{class}\n"));
    }
    std::fs::write(folder.path().join("set/t.csv"), table).unwrap();
    let head = format!(
        "_target_: runner.data.ImageTable\ntable: {}/set/t.csv\nbatch_size: 3\nfiles: [{{path: '{{id}}'}}, {{path: '{{id}}', \
         mode: L}}]\nbands: [3, 0, 1]\n{TRANSFORMS}{MIXING}",
        folder.path().display()
    );
    same(&head);
    same(&format!("{head}cache: ram\n"));
    same("_target_: runner.data.Digits\nbatch_size: 100\n");
    same(&format!(
        "_target_: runner.data.Digits\nbatch_size: 100\n{}",
        TRANSFORMS.replace("- {_target_: torchvision.transforms.ColorJitter, brightness: 0.3, hue: 0.1}\n", "")
    ));
}
