//! Data as it should not be: each kind is an error that names it, or has the effect that the documentation says.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::runner::{Call, Place};

/// A picture of `tests/images`.
fn picture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images").join(name)
}

/// Puts pictures into a folder under names of their own.
fn put(place: &Place, files: &[(&str, &str)]) {
    for (from, to) in files {
        let to = place.path().join(to);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(picture(from), to).unwrap();
    }
}

fn resized(root: &str) -> String {
    let steps = "[{_target_:torchvision.transforms.Resize,size:[16,16]},{_target_:torchvision.transforms.ToTensor}]";
    format!("data=image_folder data.root={root} data.train_transforms={steps} data.test_transforms={steps}")
}

fn refused(call: &Call, parts: &[&str]) {
    assert_ne!(call.code, 0, "{parts:?}: {}{}", call.out, call.err);
    for part in parts {
        assert!(call.err.contains(part), "{part}: {}", call.err);
    }
    assert!(!call.err.contains("panicked"), "{}", call.err);
}

/// A PNG file whose header claims 30,000 x 30,000 pixels.
fn bomb() -> Vec<u8> {
    let mut png = std::fs::read(picture("palette.png")).unwrap();
    png[16..24].copy_from_slice(&[0, 0, 0x75, 0x30, 0, 0, 0x75, 0x30]);
    let mut crc = flate2::Crc::new();
    crc.update(&png[12..29]);
    png[29..33].copy_from_slice(&crc.sum().to_be_bytes());
    png
}

#[test]
fn odd_pictures_are_read_and_broken_ones_named() {
    let place = Place::new();
    // Inks, several frames, 16 bits, a palette, transparency, and formats under names of others.
    put(
        &place,
        &[
            ("420.jpg", "set/a/0.jpg"),
            ("cmyk.jpg", "set/a/1.jpg"),
            ("animated.gif", "set/a/2.gif"),
            ("animated.webp", "set/a/3.webp"),
            ("16bit.tif", "set/a/4.tif"),
            ("palette.png", "set/b/5.jpg"),
            ("progressive.jpg", "set/b/6.png"),
            ("lossless.webp", "set/b/7.tiff"),
            ("alpha.png", "set/b/8.png"),
        ],
    );
    image::RgbImage::from_pixel(1, 1, image::Rgb([9, 9, 9])).save(place.path().join("set/b/9.png")).unwrap();
    let line = resized("set");
    let call = place.ok(&format!("data {line} data.train_val_test_split=[1.0,0.0,0.0] --out seen"));
    assert!(call.out.contains("floats of shape [3, 16, 16]") && call.out.contains("smallest    1x1"), "{}", call.out);

    // Now some that nothing can be made of: all of them are found at once where that is asked for.
    let jpeg = std::fs::read(picture("420.jpg")).unwrap();
    for (name, content) in [
        ("a/truncated.jpg", &jpeg[..jpeg.len() / 2]),
        ("a/empty.png", b""),
        ("b/page.jpg", b"<html>404</html>"),
        ("b/bomb.png", &bomb()),
    ] {
        let path = place.path().join("set").join(name);
        std::fs::write(&path, content).unwrap();
        let parts: [&str; 2] = match name {
            "a/truncated.jpg" => ["truncated.jpg", "the JPEG file is truncated"],
            "a/empty.png" => ["empty.png", "the file is empty"],
            "b/page.jpg" => ["page.jpg", "it is not an image of a known format"],
            _ => ["bomb.png", "30000x30000 pixels, more than the 178956970 allowed"],
        };
        refused(&place.run(&format!("data {line} data.train_val_test_split=[1.0,0.0,0.0] --out stopped")), &parts);
        std::fs::rename(&path, place.path().join(name.split_once('/').unwrap().1)).unwrap();
    }
    for (name, class) in [("truncated.jpg", "a"), ("empty.png", "a"), ("page.jpg", "b"), ("bomb.png", "b")] {
        std::fs::rename(place.path().join(name), place.path().join("set").join(class).join(name)).unwrap();
    }
    let call = place.ok(&format!(
        "train {line} data.on_error=skip data.train_val_test_split=[0.8,0.2,0.0] data.batch_size=4 \
         model.net.channels=[4,4] trainer.max_epochs=1 test=false callbacks=none hydra.run.dir=run"
    ));
    assert!(call.err.contains("4 images cannot be read and left out of every epoch"), "{}", call.err);
    let skipped = std::fs::read_to_string(place.path().join("run/data/skipped.csv")).unwrap();
    for name in ["a/empty.png", "a/truncated.jpg", "b/bomb.png", "b/page.jpg"] {
        assert!(skipped.contains(&format!("\n{name},")), "{name}: {skipped}");
    }
    assert_eq!(skipped.lines().count(), 5, "{skipped}");
}

#[test]
fn the_limit_of_pixels_can_be_raised() {
    let place = Place::new();
    put(&place, &[("420.jpg", "set/a/0.jpg"), ("422.jpg", "set/b/0.jpg")]);
    let line = format!("data {} data.train_val_test_split=[1.0,0.0,0.0] --out seen", resized("set"));
    refused(&place.run(&format!("{line} data.max_image_pixels=9000")), &["117x83 pixels, more than the 9000 allowed"]);
    place.ok(&format!("{line} data.max_image_pixels=10000"));
}

#[test]
fn one_sample_of_a_class_is_learned_from_or_refused() {
    let place = Place::new();
    for number in 0..10 {
        put(&place, &[("420.jpg", &format!("set/often/{number}.jpg"))]);
    }
    put(&place, &[("422.jpg", "set/once/0.jpg")]);
    let line = resized("set");
    // It can be in one part only: training's.
    let call = place.ok(&format!("data {line} --out seen"));
    let row = call.out.lines().find(|line| line.starts_with("once ")).unwrap_or_default();
    assert_eq!(row.split_whitespace().take(4).collect::<Vec<_>>(), ["once", "1", "0", "0"], "{}", call.out);
    assert!(call.out.contains("the largest class has 8.0 times as many training samples"), "{}", call.out);
    refused(&place.run(&format!("data {line} data.test_fraction=0.1 --out no")), &["the class `once` has one sample"]);
    refused(
        &place.run(&format!("data {line} split=val data.train_val_test_split=[1.0,0.0,0.0] --out no")),
        &["no val split"],
    );
}

#[test]
fn channels_that_differ_are_made_the_same_or_named() {
    let place = Place::new();
    put(&place, &[("420.jpg", "set/a/0.jpg"), ("gray.jpg", "set/b/0.jpg"), ("alpha.png", "set/b/1.png")]);
    let whole = "data.train_val_test_split=[1.0,0.0,0.0]";
    place.ok(&format!("data {} {whole} --out seen", resized("set")));
    // What keeps the channels of each file cannot batch them.
    let call = place.run(&format!("data {} {whole} data.image_mode='I;16' --out wide", resized("set")));
    refused(&call, &["after the transforms and b/1.png", "[3, 16, 16]"]);
}

#[test]
fn tables_and_folders_that_do_not_agree() {
    let place = Place::new();
    put(&place, &[("420.jpg", "set/0.jpg"), ("422.jpg", "set/1.jpg"), ("gray.jpg", "set/unlisted.jpg")]);
    let line = "data=image_table data.root=set data.table=t.csv data.train_val_test_split=[1.0,0.0,0.0]";
    // Files that the table does not name are not used.
    place.write("t.csv", "path,label\n0.jpg,x\n1.jpg,y\n");
    let call = place.ok(&format!("data {line} --out seen"));
    assert!(call.out.contains("train          2 samples"), "{}", call.out);
    for (table, more, parts) in [
        ("path,label\n0.jpg,x\n1.jpg,\n", "", vec!["t.csv, line 3", "the label is empty"]),
        ("path,label\n0.jpg,x\n2.jpg,y\n", "", vec!["1 of 2 rows", "2.jpg", "t.csv, line 3"]),
        (
            "path,name,label\n0.jpg,n,x\n1.jpg,n,y\n",
            "data.id_column=name",
            vec!["`n` stands in column `name` of lines 2 and 3"],
        ),
        (
            "path,depth\n0.jpg,1.5\n1.jpg,inf\n",
            "data.label_columns=null data.value_columns=depth",
            vec!["t.csv, line 3", "`inf` in column `depth`"],
        ),
    ] {
        place.write("t.csv", table);
        refused(&place.run(&format!("check {line} {more}")), &parts);
    }
    let call = place.ok(&format!("data {} --out rest data.missing_files=skip", {
        place.write("t.csv", "path,label\n0.jpg,x\n2.jpg,y\n1.jpg,z\n");
        line
    }));
    assert!(call.err.contains("1 of 3 rows name files that are not there: they are left out"), "{}", call.err);
}

/// A disk that is full while the cache is written: the error names it and what else can be done; nothing is left.
#[test]
fn a_cache_that_finds_no_room() {
    let place = Place::new();
    for class in ["a", "b"] {
        for number in 0..8 {
            put(&place, &[("420.jpg", &format!("set/{class}/{number}.jpg"))]);
        }
    }
    let line = format!("check {} data.cache=disk data.cache_dir=cache", resized("set"));
    let runner = place.command(&line);
    // Files of 64 blocks at most: the write that goes beyond fails as one on a full disk does.
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$@\"", "sh"]).arg(runner.get_program());
    shell.args(runner.get_args()).current_dir(place.path()).stdin(std::process::Stdio::null());
    for (name, value) in runner.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let output = shell.output().expect("a shell");
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && err.contains("cannot write the cache"), "{err}");
    assert!(err.contains("data.cache_dir") && err.contains("null or ram"), "{err}");
    assert_eq!(std::fs::read_dir(place.path().join("cache")).unwrap().count(), 0);
    // With room it is written, and read.
    place.ok(&line);
    assert_eq!(std::fs::read_dir(place.path().join("cache")).unwrap().count(), 1);
}
