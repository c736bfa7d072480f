//! Runtimes that come as an archive: what may be unpacked is, under its digest; what may not leaves
//! nothing. The archives are real ones, written by the same library and by hand where it refuses.

use flate2::Compression;
use flate2::write::GzEncoder;
use runtime_core::bounds::{MAX_ARCHIVE_ENTRIES, MAX_UNPACKED_RATIO};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use tar::{Builder, EntryType, Header};
use tokio::signal::unix::{SignalKind, signal};

use super::*;

const PROGRAM: &[u8] = b"as if it were a program";
const LIBRARY: &[u8] = b"as if it were a library";

/// An archive in the making.
struct Packed(Builder<GzEncoder<Vec<u8>>>);

impl Packed {
    fn new() -> Self {
        Self(Builder::new(GzEncoder::new(Vec::new(), Compression::fast())))
    }

    /// With the program that every archive needs.
    fn with_program() -> Self {
        Self::new().file("b1/llama-server", PROGRAM)
    }

    fn file(self, name: &str, bytes: &[u8]) -> Self {
        self.entry(name, EntryType::Regular, "", 0o755, bytes)
    }

    fn link(self, name: &str, kind: EntryType, target: &str) -> Self {
        self.entry(name, kind, target, 0o777, b"")
    }

    fn special(self, kind: EntryType) -> Self {
        self.entry("b1/special", kind, "", 0o644, b"")
    }

    /// Written into the header as it is: the library would refuse some of these names.
    fn entry(mut self, name: &str, kind: EntryType, link: &str, mode: u32, bytes: &[u8]) -> Self {
        let mut header = Header::new_ustar();
        let old = header.as_old_mut();
        old.name[..name.len()].copy_from_slice(name.as_bytes());
        old.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        self.0.append(&header, bytes).unwrap();
        self
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap().finish().unwrap()
    }
}

fn release() -> Vec<u8> {
    let mut packed = Packed::new()
        .entry("./", EntryType::Directory, "", 0o755, b"")
        .entry("./b1/", EntryType::Directory, "", 0o755, b"")
        .link("./b1/libllama.so", EntryType::Symlink, "libllama.so.0")
        .link("./b1/libllama.so.0", EntryType::Symlink, "libllama.so.0.0.1")
        .file("./b1/libllama.so.0.0.1", LIBRARY)
        .link("./b1/again.so", EntryType::Link, "./b1/libllama.so.0.0.1")
        .file("./b1/llama-server", PROGRAM)
        .entry("ignored", EntryType::XGlobalHeader, "", 0o644, b"20 comment=a commit\n");
    let long = format!("b1/{}.so", "long-".repeat(30));
    let mut header = Header::new_gnu();
    header.set_size(LIBRARY.len() as u64);
    header.set_mode(0o644);
    packed.0.append_data(&mut header, &long, LIBRARY).unwrap();
    packed.bytes()
}

impl World {
    fn of(bytes: &[u8]) -> Self {
        let world = world();
        let world = Self { spec: spec_of(bytes), ..world };
        let mut partial = world.partial();
        partial.append(bytes).unwrap();
        finish(partial, &world.store, Kind::Archive).unwrap();
        world
    }

    /// The same by other means: nothing is known of it, and nothing was synced for it.
    fn found(bytes: &[u8]) -> Self {
        let world = Self { spec: spec_of(bytes), ..world() };
        fs::write(world.path(""), bytes).unwrap();
        world
    }

    fn unpacked(&self, name: &str) -> PathBuf {
        self.path(".files").join(name)
    }

    fn open(&self, store: &Store) -> Result<unpacked::OpenedRuntime, Reason> {
        store.open_runtime(self.spec, Kind::Archive)
    }
}

fn mode_of(path: impl AsRef<std::path::Path>) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_release_is_unpacked_once_and_its_program_and_libraries_are_what_was_signed() {
    let world = World::of(&release());
    world.store.unpack(world.spec).unwrap();
    let whole = ["X", "X.files", "X.files.json", "X.verified"];
    assert_eq!(world.names(), whole);
    assert_eq!(mode_of(world.unpacked("b1/llama-server")), 0o111);
    for library in ["libllama.so", "libllama.so.0", "libllama.so.0.0.1", "again.so"] {
        let path = world.unpacked("b1").join(library);
        assert_eq!((fs::read(&path).unwrap().as_slice(), mode_of(&path)), (LIBRARY, 0o400));
        assert!(!path.is_symlink(), "{library}");
    }
    assert!(world.unpacked(&format!("b1/{}.so", "long-".repeat(30))).is_file());
    assert_eq!(mode_of(world.unpacked("b1")), 0o700);

    let inode = |path: PathBuf| std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap());
    let before = inode(world.unpacked("b1/llama-server"));
    for store in [&world.store, &world.restarted()] {
        let opened = world.open(store).unwrap();
        let stat = fstat(&opened.program.descriptor).unwrap();
        assert_eq!((stat.st_ino, opened.program.confirmed.spec()), (before, world.spec));
        assert!(opened.libraries.is_some());
    }
    assert_eq!(world.store.list().unwrap(), [world.spec.digest()]);

    let freed = world.store.remove(world.spec.digest()).unwrap();
    let unpacked = (PROGRAM.len() + 2 * LIBRARY.len()) as u64;
    assert!(freed >= world.spec.size() + unpacked, "{freed}");
    assert_eq!(world.names(), [""; 0]);
}

#[test]
fn a_start_unpacks_what_a_crash_left_half_unpacked() {
    let world = World::of(&release());
    fs::create_dir(world.path(".unpacking")).unwrap();
    fs::write(world.path(".unpacking").join("half"), b"x").unwrap();
    fs::create_dir(world.path(".files")).unwrap();
    fs::write(world.unpacked("left"), b"of a rename without its record").unwrap();
    world.open(&world.restarted()).unwrap();
    assert!(!world.path(".unpacking").exists() && !world.unpacked("left").exists());
}

#[test]
fn every_change_of_what_was_unpacked_is_caught_and_verifying_anew_mends_it() {
    let changes: [fn(&World); 6] = [
        |world| fs::write(world.unpacked("b1/more.so"), LIBRARY).unwrap(),
        |world| fs::remove_file(world.unpacked("b1/again.so")).unwrap(),
        |world| {
            let path = world.unpacked("b1/libllama.so");
            fs::remove_file(&path).unwrap();
            fs::write(path, LIBRARY).unwrap();
        },
        |world| {
            let path = world.unpacked("b1/llama-server");
            fs::set_permissions(&path, mode(0o700)).unwrap();
        },
        |world| {
            fs::remove_file(world.unpacked("b1/libllama.so")).unwrap();
            symlink("/etc/passwd", world.unpacked("b1/libllama.so")).unwrap();
        },
        |world| {
            fs::rename(world.path(".files"), world.path(".moved")).unwrap();
            symlink(world.path(".moved"), world.path(".files")).unwrap();
        },
    ];
    for (number, change) in changes.iter().enumerate() {
        let world = World::of(&release());
        world.store.unpack(world.spec).unwrap();
        change(&world);
        for store in [&world.store, &world.restarted()] {
            let refused = world.open(store).unwrap_err();
            let expected = [Reason::DigestMismatch, Reason::StoreUnavailable];
            assert!(expected.contains(&refused), "{number} {refused}");
        }
        let in_use = world.store.use_of(world.spec.digest()).unwrap();
        let verified = world.store.verify_stored(world.spec, Kind::Archive);
        assert!(verified.is_err(), "{number}");
        drop(in_use);
        world.store.verify_stored(world.spec, Kind::Archive).unwrap();
        world.open(&world.store).unwrap();
    }
}

#[test]
fn a_changed_archive_is_started_from_no_more_and_goes_with_all_that_came_of_it() {
    let world = World::of(&release());
    world.store.unpack(world.spec).unwrap();
    world.flip_a_bit();
    assert_eq!(world.open(&world.store).unwrap_err(), Reason::DigestMismatch);
    let verified = world.store.verify_stored(world.spec, Kind::Archive);
    assert_eq!(verified, Err(Reason::DigestMismatch));
    assert_eq!(world.names(), [""; 0]);
}

#[test]
fn what_was_unpacked_of_an_archive_that_is_gone_is_garbage() {
    let world = World::of(&release());
    world.store.unpack(world.spec).unwrap();
    fs::remove_file(world.path("")).unwrap();
    assert!(world.store.collect_garbage(SystemTime::now()).unwrap() > 0);
    assert_eq!(world.names(), [""; 0]);
}

fn pax(record: &str) -> Packed {
    Packed::new()
        .entry("pax", EntryType::XHeader, "", 0o644, record.as_bytes())
        .file("b1/llama-server", PROGRAM)
}

/// Each would be a valid release without the one thing that its name says.
fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let out = |name: &str| Packed::with_program().file(name, b"x").bytes();
    let soft =
        |target: &str| Packed::with_program().link("b1/l", EntryType::Symlink, target).bytes();
    let hard = |target: &str| Packed::with_program().link("b1/l", EntryType::Link, target).bytes();
    let special = |kind| Packed::with_program().special(kind).bytes();
    let with_mode =
        |mode| Packed::with_program().entry("b1/tool", EntryType::Regular, "", mode, b"x").bytes();
    let bomb = vec![0; 1 << 22];
    // Of a kind that costs the disk nothing: what is counted is entries.
    let many = (0..MAX_ARCHIVE_ENTRIES).fold(Packed::with_program(), |packed, _| {
        packed.entry("n/", EntryType::Directory, "", 0o755, b"")
    });
    let mut cut = release();
    cut.truncate(cut.len() / 2);
    let mut torn = release();
    let middle = torn.len() / 2;
    torn[middle] ^= 0xff;
    let long_note = "x".repeat(100_000);
    vec![
        ("an absolute name", out("/etc/cron.d/x")),
        ("a name that climbs out", out("b1/../../x")),
        ("a name of nothing", out("")),
        ("a name with a control character", out("b1/a\nb")),
        ("a link out by an absolute name", soft("/etc/passwd")),
        ("a link that climbs out", soft("../../x")),
        ("a link to nothing", soft("missing")),
        ("a link to a directory", soft(".")),
        ("a link to itself", soft("l")),
        ("a hard link out", hard("../x")),
        ("a hard link to an absolute name", hard("/etc/passwd")),
        ("a hard link to nothing", hard("b1/missing")),
        (
            "a file through a link",
            Packed::with_program()
                .link("b1/d", EntryType::Symlink, "..")
                .file("b1/d/x", b"x")
                .bytes(),
        ),
        ("a character device", special(EntryType::Char)),
        ("a block device", special(EntryType::Block)),
        ("a FIFO", special(EntryType::Fifo)),
        ("a sparse file", special(EntryType::GNUSparse)),
        ("an entry of a kind unknown", special(EntryType::new(b'V'))),
        ("a set-user-ID program", with_mode(0o4755)),
        ("a set-group-ID program", with_mode(0o2755)),
        ("a sticky file", with_mode(0o1644)),
        ("a bomb", Packed::with_program().file("b1/zeros", &bomb).bytes()),
        ("too many entries", many.bytes()),
        ("a name twice", Packed::with_program().file("b1/llama-server", b"other").bytes()),
        ("two programs", Packed::with_program().file("b2/llama-server", PROGRAM).bytes()),
        ("no program", Packed::new().file("b1/llama-cli", PROGRAM).bytes()),
        ("a size beside the header's", pax("9 size=2\n").bytes()),
        ("a sparse file by extension", pax("22 GNU.sparse.major=1\n").bytes()),
        ("a name that climbs out, by extension", pax("14 path=../xy\n").bytes()),
        ("an extension without end", pax(&long_note).bytes()),
        ("bytes cut off", cut),
        ("bytes overwritten", torn),
        ("no archive at all", b"\x1f\x8bnot really".to_vec()),
        ("a compressed file that is no archive", {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&[7; 5000]).unwrap();
            encoder.finish().unwrap()
        }),
    ]
}

#[test]
fn hostile_archives_are_refused_and_leave_nothing() {
    for (what, bytes) in hostile() {
        if what == "a bomb" {
            assert!((bytes.len() as u64) * MAX_UNPACKED_RATIO < 1 << 22, "it would pass");
        }
        let world = World::found(&bytes);
        assert_eq!(world.store.unpack(world.spec), Err(Reason::MalformedArchive), "{what}");
        assert_eq!(world.names(), [""; 0], "{what}");
        // At a start it is the same: nothing was unpacked, so nothing is opened.
        let world = World::found(&bytes);
        assert_eq!(world.open(&world.store).unwrap_err(), Reason::MalformedArchive, "{what}");
        assert_eq!(world.names(), [""; 0], "{what}");
    }
}

#[tokio::test]
async fn a_full_disk_leaves_the_archive_and_nothing_half_unpacked() {
    let world = World::of(&release());
    // Each test is a process of its own; a handled SIGXFSZ makes it an error of the write.
    let _handled = signal(SignalKind::from_raw(Signal::XFSZ.as_raw())).unwrap();
    let limit = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: Some(8), ..limit }).unwrap();
    let refused = world.store.unpack(world.spec);
    setrlimit(Resource::Fsize, limit).unwrap();
    assert_eq!(refused, Err(Reason::DiskFull));
    assert_eq!(world.names(), ["X", "X.verified"]);
    world.store.unpack(world.spec).unwrap();
}
