use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// A directory of its own, gone with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("secrets-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn secrets_are_private_files_that_outlive_the_gateway() {
    let data = Scratch::new("private");
    let secrets = Secrets::open(&data.0).unwrap();
    secrets.create("n", "b", b"two").unwrap();
    secrets.create("n", "a", b"one").unwrap();
    secrets.create("m", "a", b"other\0\xff").unwrap();
    secrets.replace("n", "a", b"1").unwrap();
    let again = Secrets::open(&data.0).unwrap();
    for secrets in [secrets, again] {
        assert_eq!(secrets.list("n").unwrap(), ["a", "b"]);
        assert_eq!(secrets.list("empty").unwrap(), [""; 0]);
        assert_eq!(secrets.value("n", "a").as_deref(), Some(&b"1"[..]));
        assert_eq!(secrets.value("m", "a").as_deref(), Some(&b"other\0\xff"[..]));
        assert!(!format!("{secrets:?}").contains("two"));
    }
    assert_eq!(mode(&data.0.join("secrets")), 0o700);
    assert_eq!(mode(&data.0.join("secrets/n")), 0o700);
    assert_eq!(mode(&data.0.join("secrets/n/a")), 0o600);
}

#[test]
fn what_is_there_twice_or_not_at_all_is_said() {
    let data = Scratch::new("twice");
    let secrets = Secrets::open(&data.0).unwrap();
    assert!(matches!(secrets.replace("n", "a", b"1"), Err(Error::NotFound(_))));
    assert!(matches!(secrets.remove("n", "a"), Err(Error::NotFound(_))));
    secrets.create("n", "a", b"1").unwrap();
    assert!(matches!(secrets.create("n", "a", b"2"), Err(Error::Conflict(_))));
    assert_eq!(fs::read(data.0.join("secrets/n/a")).unwrap(), b"1");
    secrets.remove("n", "a").unwrap();
    assert!(!data.0.join("secrets/n/a").exists());
    secrets.create("n", "a", b"3").unwrap();
}

#[test]
fn no_name_leaves_the_directory() {
    let data = Scratch::new("names");
    let secrets = Secrets::open(&data.0).unwrap();
    for (namespace, name) in [("n", "../x"), ("n", "a/b"), ("..", "a"), ("n", ""), ("", "a")] {
        let refused = [
            secrets.create(namespace, name, b"1"),
            secrets.replace(namespace, name, b"1"),
            secrets.remove(namespace, name),
            secrets.files(namespace, &[name.to_owned()]).map(drop),
        ];
        for result in refused {
            assert!(matches!(result, Err(Error::Invalid(_))), "{namespace}/{name}: {result:?}");
        }
    }
    assert!(secrets.list("../n").is_err());
    assert_eq!(fs::read_dir(data.0.join("secrets")).unwrap().count(), 0);
}

#[test]
fn values_have_bounds() {
    let data = Scratch::new("bounds");
    let secrets = Secrets::open(&data.0).unwrap();
    let longest = vec![b'x'; LONGEST_VALUE];
    secrets.create("n", "a", &longest).unwrap();
    let too_long = [&longest[..], b"x"].concat();
    assert!(matches!(secrets.replace("n", "a", &too_long), Err(Error::Invalid(_))));
    assert!(matches!(secrets.replace("n", "a", b""), Err(Error::Invalid(_))));
    assert_eq!(secrets.value("n", "a").unwrap().len(), LONGEST_VALUE);
}

#[test]
fn files_are_absolute_and_the_missing_one_is_named() {
    let data = Scratch::new("files");
    let secrets = Secrets::open(&data.0).unwrap();
    secrets.create("n", "a", b"1").unwrap();
    let files = secrets.files("n", &["a".to_owned()]).unwrap();
    assert!(files[0].0 == "a" && files[0].1.is_absolute(), "{files:?}");
    assert_eq!(fs::read(&files[0].1).unwrap(), b"1");
    let error = secrets.files("n", &["a".to_owned(), "gone".to_owned()]).unwrap_err();
    assert!(matches!(&error, Error::Invalid(text) if text.contains("gone")), "{error}");
}

#[test]
fn what_a_killed_gateway_left_is_swept_away() {
    let data = Scratch::new("sweep");
    let secrets = Secrets::open(&data.0).unwrap();
    secrets.create("n", "a", b"whole").unwrap();
    let unfinished = data.0.join("secrets/n/.unfinished-a");
    fs::write(&unfinished, b"ha").unwrap();
    secrets.replace("n", "a", b"new").unwrap();
    fs::write(&unfinished, b"ha").unwrap();
    let secrets = Secrets::open(&data.0).unwrap();
    assert!(!unfinished.exists());
    assert_eq!(secrets.list("n").unwrap(), ["a"]);
    assert_eq!(secrets.value("n", "a").as_deref(), Some(&b"new"[..]));
}
