//! Settings: where state is stored, and which network, interface and mirrors are used.
//!
//! Each value comes from the first source that has it: a flag, the environment, the settings file,
//! a default. An empty value counts as missing. The settings file is `setup.sh` in the folder of
//! the program as it was called, else in the folder of the program file, else in the current
//! folder. It is parsed as plain assignments and never executed. State is stored beside the
//! settings file, or in the current folder.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use clap::builder::NonEmptyStringValueParser;

use crate::settings::file::{Assignments, Unreadable};

pub mod apart;
pub mod file;

/// The name of the settings file.
const FILE_NAME: &str = "setup.sh";

/// Base systems and their suites, unless the settings file sets `BASE_SUITES`.
const SUITES: [(&str, &str); 3] =
    [("debian:bookworm", "bookworm"), ("ubuntu:jammy", "jammy"), ("ubuntu:focal", "focal")];

/// Settings from the command line and the environment.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Settings")]
pub struct Overrides {
    /// The settings file [default: setup.sh beside the program, else in the current folder]
    #[arg(long, value_name = "FILE", env = "CONDUCTOR_SETUP", hide_env = true, global = true)]
    pub setup: Option<PathBuf>,
    /// The folder of images [default: .images beside the settings file]
    #[arg(long, value_name = "DIR", env = "IMAGEDIR", global = true)]
    pub imagedir: Option<PathBuf>,
    /// The folder of containers [default: .containers beside the settings file]
    #[arg(long, value_name = "DIR", env = "CONTAINERDIR", global = true)]
    pub containerdir: Option<PathBuf>,
    /// The folder of base systems and layers [default: .cache beside the settings file]
    #[arg(long, value_name = "DIR", env = "CACHEDIR", global = true)]
    pub cachedir: Option<PathBuf>,
    /// The interface that leads to the Internet [default: the interface of the default route]
    #[arg(long, value_name = "IFC", env = "DEFAULT_IFC", global = true)]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub default_ifc: Option<String>,
}

/// The settings that a command needs. Other settings have their defaults, and other folders are
/// paths that cannot exist.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder of images, absolute.
    pub images: PathBuf,
    /// The folder of containers, absolute.
    pub containers: PathBuf,
    /// The folder of base systems and layers, absolute.
    pub cache: PathBuf,
    /// `DEFAULT_IFC`. `None` means the interface of the default route.
    pub default_interface: Option<String>,
    /// The range of container addresses.
    pub subnet: Subnet,
    /// The package mirror of each distribution, by name (`debian`). Without an entry debootstrap
    /// chooses.
    pub mirrors: BTreeMap<String, String>,
    /// The suite of each base system, by the reference in `FROM` (`debian:bookworm`).
    pub suites: BTreeMap<String, String>,
}

/// The range that container networks are taken from: `IP4_SUBNET`, `IP4_FULL_PREFIX_SIZE` and
/// `IP4_PREFIX_SIZE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    /// The first address of the range, by default 192.168.0.0.
    pub base: Ipv4Addr,
    /// The prefix length of the range, by default 16.
    pub full_prefix: u8,
    /// The prefix length of one container's network, by default 24.
    pub prefix: u8,
}

/// Why the settings cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings file exists or was named, and cannot be read.
    #[error("cannot read the settings file {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// The error of reading it.
        source: io::Error,
    },
    /// A value in the settings file needs a shell.
    #[error("settings file {path}, {name}: {reason}; {remedy}")]
    Value {
        /// The file.
        path: PathBuf,
        /// The setting.
        name: &'static str,
        /// The line and the text that needs a shell.
        reason: Unreadable,
        /// What to write instead.
        remedy: String,
    },
    /// A value has the wrong form.
    #[error("{name}={value}: {rule}")]
    Form {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: String,
        /// The required form.
        rule: &'static str,
    },
    /// Two state folders are not apart.
    #[error(transparent)]
    Apart(#[from] apart::Error),
    /// The current folder is gone; relative paths refer to it.
    #[error("the current folder cannot be read; change to a folder that exists")]
    CurrentFolder(#[source] io::Error),
}

impl Settings {
    /// Loads the settings whose names are `needed`. Errors in other settings are ignored.
    pub fn load(overrides: &Overrides, needed: &[&str]) -> Result<Self, Error> {
        let (path, text) = find_file(overrides)?.unwrap_or((FILE_NAME.into(), String::new()));
        let path = absolute(&path)?;
        let folder = path.parent().unwrap_or(Path::new("/")).to_owned();
        let read = Assignments::parse(&text, &folder, &|name| env::var(name).ok());
        let file = File { path, read, needed };
        let directory = |flag: &Option<PathBuf>, name, default: &str| match flag {
            _ if !file.is_needed(name) => Ok(Path::new("/dev/null").join(name)),
            Some(path) => state_folder(name, Path::new(""), path),
            None => state_folder(name, &folder, Path::new(file.get(name)?.unwrap_or(default))),
        };
        let images = directory(&overrides.imagedir, "IMAGEDIR", ".images")?;
        let containers = directory(&overrides.containerdir, "CONTAINERDIR", ".containers")?;
        let cache = directory(&overrides.cachedir, "CACHEDIR", ".cache")?;
        apart::check([("IMAGEDIR", &images), ("CONTAINERDIR", &containers), ("CACHEDIR", &cache)])?;
        Ok(Self {
            images,
            containers,
            cache,
            default_interface: match &overrides.default_ifc {
                Some(interface) => Some(interface.clone()),
                None => file.get("DEFAULT_IFC")?.map(String::from),
            },
            subnet: Subnet::read(&file)?,
            mirrors: file.table("BASE_MIRRORS", &[])?,
            suites: file.table("BASE_SUITES", &SUITES)?,
        })
    }
}

/// The path and text of the settings file, if there is one.
fn find_file(overrides: &Overrides) -> Result<Option<(PathBuf, String)>, Error> {
    if let Some(path) = &overrides.setup {
        let text = fs::read_to_string(path).map_err(|source| Error::File { path: path.clone(), source })?;
        return Ok(Some((path.clone(), text)));
    }
    let called = env::args_os().next().map(PathBuf::from);
    let called = called.as_deref().and_then(Path::parent).filter(|folder| *folder != OsStr::new(""));
    let real = env::current_exe().ok();
    let real = real.as_deref().and_then(Path::parent);
    for folder in [called, real, Some(Path::new("."))].into_iter().flatten() {
        let path = folder.join(FILE_NAME);
        match fs::read_to_string(&path) {
            Ok(text) => return Ok(Some((path, text))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(Error::File { path, source }),
        }
    }
    Ok(None)
}

/// Makes a path absolute, relative to `folder`. Refuses paths that a `layers` file cannot hold and
/// a literal `~`.
fn state_folder(name: &'static str, folder: &Path, path: &Path) -> Result<PathBuf, Error> {
    let form = |path: &Path, rule| Error::Form { name, value: path.display().to_string(), rule };
    if path.as_os_str().as_bytes().starts_with(b"~") {
        return Err(form(path, "a shell does not expand ~ in quotes or after a flag's =: write $HOME"));
    }
    let path = absolute(&folder.join(path))?;
    match path.to_str() {
        Some(text) if !text.contains([':', '\n']) => Ok(path),
        _ => Err(form(
            &path,
            "the path must be UTF-8 without colons and newlines: a `layers` file separates layers by colons",
        )),
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Error> {
    std::path::absolute(path).map_err(Error::CurrentFolder)
}

struct File<'a> {
    path: PathBuf,
    read: Assignments,
    needed: &'a [&'a str],
}

impl File<'_> {
    fn is_needed(&self, name: &str) -> bool {
        self.needed.contains(&name)
    }

    /// The value of a needed setting in the file. An empty value counts as missing.
    fn get(&self, name: &'static str) -> Result<Option<&str>, Error> {
        if !self.is_needed(name) {
            return Ok(None);
        }
        let remedy = || format!("write {name}=VALUE on a line of its own, or set {name} in the environment");
        let value = self.read.get(name).map_err(|reason| self.unreadable(name, reason, remedy()))?;
        Ok(value.filter(|value| !value.is_empty()))
    }

    /// Like [`File::get`], for a table. Empty entries count as missing.
    fn table(&self, name: &'static str, default: &[(&str, &str)]) -> Result<BTreeMap<String, String>, Error> {
        let default = || default.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        if !self.is_needed(name) {
            return Ok(default());
        }
        let remedy = || format!("write {name}=([KEY]=VALUE …) as a command of its own");
        let table = self.read.table(name).map_err(|reason| self.unreadable(name, reason, remedy()))?;
        let Some(table) = table.filter(|table| !table.is_empty()) else { return Ok(default()) };
        let entries = table.iter().filter(|(_, value)| !value.is_empty());
        Ok(entries.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn unreadable(&self, name: &'static str, reason: Unreadable, remedy: String) -> Error {
        Error::Value { path: self.path.clone(), name, reason, remedy }
    }
}

impl Subnet {
    fn read(file: &File) -> Result<Self, Error> {
        let value = |name, default: &str| -> Result<String, Error> {
            let environment = env::var(name).ok().filter(|value| !value.is_empty() && file.is_needed(name));
            match environment {
                Some(value) => Ok(value),
                None => Ok(file.get(name)?.unwrap_or(default).to_owned()),
            }
        };
        Self::parse(
            &value("IP4_SUBNET", "192.168")?,
            &value("IP4_FULL_PREFIX_SIZE", "16")?,
            &value("IP4_PREFIX_SIZE", "24")?,
        )
    }

    /// Parses the three settings: the leading octets (`192.168`) and two prefix lengths.
    fn parse(subnet: &str, full: &str, prefix: &str) -> Result<Self, Error> {
        let form = |name, value: &str, rule| Error::Form { name, value: value.into(), rule };
        let bad_subnet =
            || form("IP4_SUBNET", subnet, "must be one to four numbers from 0 to 255, separated by dots");
        let mut octets = [0; 4];
        for (at, word) in subnet.trim_end_matches('.').split('.').enumerate() {
            *octets.get_mut(at).ok_or_else(bad_subnet)? = word.parse().map_err(|_| bad_subnet())?;
        }
        let full_prefix = full.parse().ok().filter(|bits| (1..=30).contains(bits));
        let full_prefix =
            full_prefix.ok_or_else(|| form("IP4_FULL_PREFIX_SIZE", full, "must be from 1 to 30"))?;
        let prefix_bits = prefix.parse().ok().filter(|bits| (full_prefix..=30).contains(bits));
        let prefix = prefix_bits
            .ok_or_else(|| form("IP4_PREFIX_SIZE", prefix, "must be from IP4_FULL_PREFIX_SIZE to 30"))?;
        let base = Ipv4Addr::from_bits(u32::from_be_bytes(octets) & (u32::MAX << (32 - full_prefix)));
        Ok(Self { base, full_prefix, prefix })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All settings that some command needs.
    const ALL: [&str; 9] = [
        "IMAGEDIR",
        "CONTAINERDIR",
        "CACHEDIR",
        "DEFAULT_IFC",
        "IP4_SUBNET",
        "IP4_FULL_PREFIX_SIZE",
        "IP4_PREFIX_SIZE",
        "BASE_MIRRORS",
        "BASE_SUITES",
    ];

    fn load(text: &str) -> Result<Settings, Error> {
        let folder = tempfile::tempdir().unwrap();
        let setup = folder.path().join("setup.sh");
        fs::write(&setup, text).unwrap();
        Settings::load(&Overrides { setup: Some(setup), ..Overrides::default() }, &ALL)
    }

    #[test]
    fn state_is_stored_beside_the_settings_file() {
        let folder = tempfile::tempdir().unwrap();
        let setup = folder.path().join("my-setup");
        fs::write(&setup, "DEFAULT_IFC=eth7\nCACHEDIR=\"$(dirname \"$0\")/c\"\nCONTAINERDIR=rel\n").unwrap();
        let settings =
            Settings::load(&Overrides { setup: Some(setup), ..Overrides::default() }, &ALL).unwrap();
        assert_eq!(settings.images, folder.path().join(".images"));
        assert_eq!(settings.containers, folder.path().join("rel"));
        assert_eq!(settings.cache, folder.path().join("c"));
        assert_eq!(settings.default_interface.as_deref(), Some("eth7"));
    }

    #[test]
    fn a_flag_wins_over_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let setup = folder.path().join("setup.sh");
        fs::write(&setup, "IMAGEDIR=/from/file\n").unwrap();
        let flags =
            Overrides { setup: Some(setup), imagedir: Some("/from/flag".into()), ..Overrides::default() };
        assert_eq!(Settings::load(&flags, &ALL).unwrap().images, Path::new("/from/flag"));
    }

    #[test]
    fn subnets_are_read_as_the_course_writes_them() {
        let subnet = Subnet::parse("192.168", "16", "24").unwrap();
        assert_eq!(subnet.base, Ipv4Addr::new(192, 168, 0, 0));
        assert_eq!(Subnet::parse("10", "8", "24").unwrap().base, Ipv4Addr::new(10, 0, 0, 0));
        assert_eq!(Subnet::parse("172.16.9", "12", "30").unwrap().base, Ipv4Addr::new(172, 16, 0, 0));
        for (subnet, full, prefix) in [("300.1", "16", "24"), ("1.2.3.4.5", "16", "24"), ("10", "0", "24")] {
            assert!(Subnet::parse(subnet, full, prefix).is_err());
        }
        assert!(Subnet::parse("10", "24", "16").is_err());
    }

    #[test]
    fn folders_that_a_layers_file_cannot_hold_are_refused() {
        assert!(load("CACHEDIR=/a:b\n").unwrap_err().to_string().contains("CACHEDIR=/a:b"));
    }

    #[test]
    fn a_literal_tilde_is_refused() {
        let error = load("CACHEDIR='~/cache'\n").unwrap_err().to_string();
        assert_eq!(
            error,
            "CACHEDIR=~/cache: a shell does not expand ~ in quotes or after a flag's =: write $HOME"
        );
        let settings = load("HOME=/home/me\nCACHEDIR=~/cache\n").unwrap();
        assert_eq!(settings.cache, Path::new("/home/me/cache"));
    }

    #[test]
    fn an_empty_value_counts_as_missing() {
        let settings = load(
            "IMAGEDIR=\nDEFAULT_IFC=\"\"\nIP4_SUBNET=''\nBASE_SUITES=\nBASE_MIRRORS=([debian]= [ubuntu]=u)\n",
        );
        let settings = settings.unwrap();
        assert!(settings.images.ends_with(".images"));
        assert_eq!(settings.default_interface, None);
        assert_eq!(settings.suites.len(), SUITES.len());
        assert_eq!(settings.mirrors, BTreeMap::from([("ubuntu".into(), "u".into())]));
    }

    #[test]
    fn errors_in_settings_that_are_not_needed_are_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let setup = folder.path().join("setup.sh");
        fs::write(&setup, "IMAGEDIR=$(id)\nCONTAINERDIR=c\nDEFAULT_IFC=`id`\nIP4_SUBNET=x\nBASE_SUITES=a\n")
            .unwrap();
        let flags = Overrides { setup: Some(setup), ..Overrides::default() };
        let settings = Settings::load(&flags, &["CONTAINERDIR"]).unwrap();
        assert_eq!(settings.containers, folder.path().join("c"));
        assert!(
            fs::create_dir_all(&settings.images).is_err() && fs::create_dir_all(&settings.cache).is_err()
        );
    }

    #[test]
    fn an_error_names_file_setting_line_and_remedy() {
        let error = load("\nIMAGEDIR=$(mktemp -d)\n").unwrap_err().to_string();
        let (_, said) = error.split_once("setup.sh, ").unwrap();
        assert_eq!(
            said,
            "IMAGEDIR: line 2: '$(mktemp -d)' needs a shell; write IMAGEDIR=VALUE on a line of its own, or set \
             IMAGEDIR in the environment"
        );
        let error = load("declare -A BASE_SUITES=([a]=b)\nBASE_SUITES+=([c]=d)\n").unwrap_err().to_string();
        let (_, said) = error.split_once("setup.sh, ").unwrap();
        assert_eq!(
            said,
            "BASE_SUITES: line 2: 'BASE_SUITES+=([c]=d)' needs a shell; write BASE_SUITES=([KEY]=VALUE …) as a \
             command of its own"
        );
    }
}
