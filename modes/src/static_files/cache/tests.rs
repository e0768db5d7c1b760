use std::fs;

use http::Request;

use super::*;
use crate::static_files::{
    open::{Opened, Root},
    resource::Resource,
};

/// A folder with files of these sizes, named by their number, and what is known of each.
fn resources(sizes: impl IntoIterator<Item = u64>) -> Vec<Arc<Resource>> {
    let folder = tempfile::tempdir().unwrap();
    let root = Root::new(folder.path()).unwrap();
    let load = |(number, size): (usize, u64)| {
        let name = number.to_string();
        fs::File::create(folder.path().join(&name)).unwrap().set_len(size).unwrap();
        let Opened::File(file) = root.open(name.as_bytes()).unwrap() else { panic!("a file") };
        Arc::new(Resource::load(&root, name.as_bytes(), file, None).unwrap())
    };
    sizes.into_iter().enumerate().map(load).collect()
}

fn sums(cache: &Cache) -> (usize, usize, usize) {
    let known = cache.lock();
    (known.entries.len(), known.memory, known.descriptors)
}

#[tokio::test]
async fn names_memory_and_descriptors_are_bounded_and_the_least_used_go_first() {
    for (sizes, most) in [
        (vec![0; NAMES + 5], (NAMES, 0, 0)),
        (vec![1 << 15; 70], (64, MEMORY, 0)),
        (vec![1 << 20; DESCRIPTORS + 5], (DESCRIPTORS, 0, DESCRIPTORS)),
    ] {
        let cache = Arc::new(Cache::default());
        for (number, resource) in resources(sizes).into_iter().enumerate() {
            assert!(cache.get(b"0", Instant::now()).is_some() || number == 0, "0 is used always");
            cache.put(number.to_string().as_bytes(), resource, Instant::now());
        }
        assert_eq!(sums(&cache), most);
        assert!(cache.get(b"1", Instant::now()).is_none());
    }
}

#[tokio::test]
async fn what_is_known_holds_for_a_second_after_the_look_began() {
    let cache = Arc::new(Cache::default());
    let resource = resources([1]).remove(0);
    let now = Instant::now();
    cache.put(b"f", Arc::clone(&resource), now);
    let fresh = |after| cache.get(b"f", now + after).map(|(_, fresh)| fresh);
    assert_eq!(fresh(Duration::from_millis(999)), Some(true));
    assert_eq!(fresh(FRESH), Some(false));
    // A look that began earlier and took longer does not count.
    let old = now.checked_sub(Duration::from_millis(1)).unwrap();
    cache.put(b"f", resources([2]).remove(0), old);
    assert!(Arc::ptr_eq(&cache.get(b"f", now).unwrap().0, &resource));
    cache.forget(b"f");
    assert_eq!(sums(&cache), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_asks_for_is_forgotten() {
    let cache = Arc::new(Cache::default());
    cache.put(b"f", resources([1 << 20]).remove(0), Instant::now());
    assert_eq!(sums(&cache), (1, 0, 1));
    cache.lock().retain_used_since(Instant::now() + Duration::from_secs(1));
    assert_eq!(sums(&cache), (0, 0, 0));
    // The sweeper ends when nothing is left, and the next entry starts another.
    tokio::time::sleep(2 * KEPT).await;
    assert!(!cache.lock().is_swept);
    cache.put(b"f", resources([1]).remove(0), Instant::now());
    assert!(cache.lock().is_swept);
}

#[test]
fn a_version_that_is_known_is_taken_over_and_a_young_one_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let root = Root::new(folder.path()).unwrap();
    let path = folder.path().join("f");
    fs::write(&path, "one").unwrap();
    let request = Request::new(()).into_parts().0;
    let look = |known| {
        let Opened::File(file) = root.open(b"f").unwrap() else { panic!("a file") };
        Resource::load(&root, b"f", file, known).unwrap()
    };
    let body = |resource: &Resource| match resource
        .respond(&request, crate::file_body::Transfer::Copy)
        .into_body()
    {
        crate::Body::Full(Some(bytes)) => bytes,
        other => panic!("{other:?}"),
    };
    let young = look(None);
    let again = look(Some(&young));
    assert_ne!(body(&young).as_ptr(), body(&again).as_ptr(), "it may have changed meanwhile");
    std::thread::sleep(Duration::from_millis(3100));
    let old = look(Some(&again));
    let same = look(Some(&old));
    assert_eq!(body(&old).as_ptr(), body(&same).as_ptr());
    fs::write(&path, "two").unwrap();
    assert_eq!(body(&look(Some(&same))), "two");
}
