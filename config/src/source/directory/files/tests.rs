//! Which files are read, and when again.

use super::*;

/// A directory with one file that says `text` and changed `age` ago.
fn directory(text: &str, age: Duration) -> (tempfile::TempDir, PathBuf, Files) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.yaml");
    fs::write(&path, text).unwrap();
    age_by(&path, age);
    let files = Files::new(folder.path().to_owned());
    (folder, path, files)
}

fn age_by(path: &Path, age: Duration) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - age).unwrap();
}

/// What is new of the file.
fn read(files: &mut Files) -> Option<Text> {
    let texts = files.read(&Look::all(Role::Status)).unwrap();
    texts.into_values().next()
}

fn said(text: &str) -> Text {
    Text::Read(text.to_owned())
}

#[test]
fn a_file_that_has_just_changed_is_read_again() {
    let (_folder, path, mut files) = directory("one", Duration::ZERO);
    assert_eq!(read(&mut files), Some(said("one")));
    fs::write(&path, "two").unwrap();
    assert_eq!(read(&mut files), Some(said("two")));
    assert_eq!(read(&mut files), Some(said("two")), "it may change unseen");
}

#[test]
fn a_stamp_tells_when_it_is_old_enough() {
    let (_folder, path, _files) = directory("one", Duration::from_mins(1));
    let stamp = Stamp::of(&fs::metadata(&path).unwrap());
    let now = SystemTime::now();
    assert!(!stamp.tells(now), "its content is old, and was put there just now");
    assert!(stamp.tells(now + 2 * TELLING));
    assert!(!stamp.tells(now - 2 * TELLING), "the clock of the file system goes before ours");
}

/// Knows the file as it is now.
fn know(files: &mut Files, path: &Path) {
    let key = Arc::new(Place { role: Role::Written, path: path.to_owned() });
    files.known.insert(key, Some(Stamp::of(&fs::metadata(path).unwrap())));
}

#[test]
fn a_file_that_is_as_it_was_is_not_read_again() {
    let (_folder, path, mut files) = directory("one", Duration::ZERO);
    know(&mut files, &path);
    assert_eq!(read(&mut files), None);
    fs::write(&path, "longer").unwrap();
    assert_eq!(read(&mut files), Some(said("longer")));
    fs::remove_file(&path).unwrap();
    assert_eq!(read(&mut files), Some(Text::Gone));
    assert_eq!(read(&mut files), None, "it was gone already");
}

#[test]
fn a_file_that_takes_the_place_of_another_is_read() {
    let (folder, path, mut files) = directory("one", Duration::ZERO);
    know(&mut files, &path);
    let other = folder.path().join("b");
    fs::write(&other, "two").unwrap();
    fs::rename(&other, &path).unwrap();
    assert_eq!(read(&mut files), Some(said("two")));
}

/// What is read where only these paths were touched.
fn at(files: &mut Files, paths: &[&Path]) -> Vec<(String, Text)> {
    let at = paths.iter().map(|path| (*path).to_owned()).collect();
    let look = Look { all: None, at };
    let texts = files.read(&look).unwrap().into_iter();
    let name = |place: &Place| place.path.file_name().unwrap().to_string_lossy().into_owned();
    texts.map(|(place, text)| (name(&place), text)).collect()
}

#[test]
fn only_what_was_touched_is_read() {
    let (folder, a, mut files) = directory("one", Duration::ZERO);
    let b = folder.path().join("b.yaml");
    read(&mut files);
    fs::write(&a, "two").unwrap();
    fs::write(&b, "new").unwrap();
    assert_eq!(at(&mut files, &[&b]), [("b.yaml".to_owned(), Text::Read("new".to_owned()))]);
    fs::remove_file(&b).unwrap();
    assert_eq!(at(&mut files, &[&b]), [("b.yaml".to_owned(), Text::Gone)]);
    let unfinished = folder.path().join(".a.yaml.new");
    assert_eq!(at(&mut files, &[&unfinished]), [], "it was renamed");
    fs::write(&unfinished, "three").unwrap();
    assert_eq!(at(&mut files, &[&unfinished]), [], "it will be renamed");
}

#[test]
fn everything_is_read_where_a_touched_path_may_hold_other_files() {
    let (folder, _a, mut files) = directory("one", Duration::ZERO);
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    fs::write(inner.join("c.yaml"), "c").unwrap();
    let names = |texts: Vec<(String, Text)>| -> Vec<_> {
        texts.into_iter().map(|(name, _)| name).collect()
    };
    assert_eq!(names(at(&mut files, &[&inner])), ["a.yaml", "c.yaml"]);
    fs::rename(&inner, folder.path().join(".inner")).unwrap();
    assert!(at(&mut files, &[&inner]).contains(&("c.yaml".to_owned(), Text::Gone)));
    let data = folder.path().join("..data");
    assert_eq!(names(at(&mut files, &[&data])), ["a.yaml"], "the links of a ConfigMap");
}

#[test]
fn what_we_said_takes_no_room_of_what_the_user_says() {
    let (folder, path, mut files) = directory("one", Duration::ZERO);
    for number in 0..MAX_FILES {
        let path = folder.path().join(format!("{number}.yaml"));
        files.known.insert(Arc::new(Place { role: Role::Status, path }), None);
    }
    let texts = files.read(&Look::all(Role::Written)).unwrap();
    assert_eq!(texts.into_values().collect::<Vec<_>>(), [said("one")]);
    fs::write(&path, "two").unwrap();
    assert_eq!(at(&mut files, &[&path]), [("a.yaml".to_owned(), said("two"))]);
}

#[test]
fn a_look_that_fails_loses_nothing() {
    let (folder, path, _) = directory("one", Duration::ZERO);
    let root = folder.path().join("root");
    let mut files = Files::new(root.clone());
    fs::create_dir(&root).unwrap();
    let moved = root.join("a.yaml");
    fs::rename(&path, &moved).unwrap();
    assert_eq!(read(&mut files), Some(said("one")));
    fs::remove_dir_all(&root).unwrap();
    let at = [moved, root.join("inner")].into();
    assert!(files.read(&Look { all: None, at }).is_err(), "the directory is not there");
    fs::create_dir(&root).unwrap();
    assert_eq!(read(&mut files), Some(Text::Gone), "nobody was told");
}
