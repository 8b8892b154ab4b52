//! Where state lies and which network, interface and mirrors are used.
//!
//! Each value comes from the first place that has it: a flag, the environment, the settings file, a default.
//! An empty value is none. The settings file is `setup.sh` beside the program (as it was called, then where it really lies), else in
//! the current folder; it is read as plain assignments, and never executed. State lies beside the settings
//! file, or in the current folder where there is none.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use clap::builder::NonEmptyStringValueParser;

use crate::settings_file::{Assignments, Unreadable};

/// Name of the settings file.
const FILE_NAME: &str = "setup.sh";

/// Base systems and the suites they are made from, where the settings file has no `BASE_SUITES`.
const SUITES: [(&str, &str); 3] =
    [("debian:bookworm", "bookworm"), ("ubuntu:jammy", "jammy"), ("ubuntu:focal", "focal")];

/// What the command line and the environment say about settings.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Settings")]
pub struct Overrides {
    /// Settings file to read [default: setup.sh beside the program, else in the current folder]
    #[arg(long, value_name = "FILE", env = "CONDUCTOR_SETUP", hide_env = true, global = true)]
    pub setup: Option<PathBuf>,
    /// Where images lie [default: .images beside the settings file]
    #[arg(long, value_name = "DIR", env = "IMAGEDIR", global = true)]
    pub imagedir: Option<PathBuf>,
    /// Where containers lie [default: .containers beside the settings file]
    #[arg(long, value_name = "DIR", env = "CONTAINERDIR", global = true)]
    pub containerdir: Option<PathBuf>,
    /// Where base systems and layers lie [default: .cache beside the settings file]
    #[arg(long, value_name = "DIR", env = "CACHEDIR", global = true)]
    pub cachedir: Option<PathBuf>,
    /// Interface that leads to the Internet [default: the default route's]
    #[arg(long, value_name = "IFC", env = "DEFAULT_IFC", global = true)]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub default_ifc: Option<String>,
}

/// What a command needs to be set, settled. What it does not need is as if nobody had set it; a folder, where nothing can
/// ever be.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Folder of the images, absolute.
    pub images: PathBuf,
    /// Folder of the containers, absolute.
    pub containers: PathBuf,
    /// Folder of base systems and layers, absolute.
    pub cache: PathBuf,
    /// `DEFAULT_IFC`; `None` means the default route's interface.
    pub default_interface: Option<String>,
    /// The addresses containers get.
    pub subnet: Subnet,
    /// Package mirror for each distribution, by name (`debian`); debootstrap knows one where this does not.
    pub mirrors: BTreeMap<String, String>,
    /// Suite for each base system, by what `FROM` calls it (`debian:bookworm`).
    pub suites: BTreeMap<String, String>,
}

/// The network that containers' networks are cut from: `IP4_SUBNET`, `IP4_FULL_PREFIX_SIZE` and
/// `IP4_PREFIX_SIZE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    /// First address of the whole, 192.168.0.0 by default.
    pub base: Ipv4Addr,
    /// Prefix length of the whole, 16 by default.
    pub full_prefix: u8,
    /// Prefix length of one container's network, 24 by default.
    pub prefix: u8,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings file exists, or was named, and cannot be read.
    #[error("settings file {path}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What reading it said.
        source: io::Error,
    },
    /// A value of the settings file needs a shell.
    #[error("settings file {path}, {name}: {reason}; {remedy}")]
    Value {
        /// Which file.
        path: PathBuf,
        /// Which setting.
        name: &'static str,
        /// Where, and the text in question.
        reason: Unreadable,
        /// What to write instead.
        remedy: String,
    },
    /// A value has not the form it should have.
    #[error("{name}={value}: {rule}")]
    Form {
        /// Which setting.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it should look like.
        rule: &'static str,
    },
    /// The current folder, to which relative paths refer, is gone.
    #[error("the current folder cannot be used")]
    CurrentFolder(#[source] io::Error),
}

impl Settings {
    /// Settles the settings whose names are `needed`. What is wrong with others is no error.
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
        Ok(Self {
            images: directory(&overrides.imagedir, "IMAGEDIR", ".images")?,
            containers: directory(&overrides.containerdir, "CONTAINERDIR", ".containers")?,
            cache: directory(&overrides.cachedir, "CACHEDIR", ".cache")?,
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

/// The settings file's path and text, if there is one.
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

/// Makes a path absolute, meant from `folder`, and refuses what cannot stand in a `layers` file or cannot be meant.
fn state_folder(name: &'static str, folder: &Path, path: &Path) -> Result<PathBuf, Error> {
    let form = |path: &Path, rule| Error::Form { name, value: path.display().to_string(), rule };
    if path.as_os_str().as_bytes().starts_with(b"~") {
        return Err(form(path, "no shell has expanded the ~, in quotes or after a flag's =: write $HOME"));
    }
    let path = absolute(&folder.join(path))?;
    match path.to_str() {
        Some(text) if !text.contains([':', '\n']) => Ok(path),
        _ => Err(form(&path, "the path must be UTF-8 without colons, which separate layers")),
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

    /// The value the file gives a setting that is needed; an empty value is none.
    fn get(&self, name: &'static str) -> Result<Option<&str>, Error> {
        if !self.is_needed(name) {
            return Ok(None);
        }
        let remedy = || format!("write {name}=VALUE on a line of its own, or set {name} in the environment");
        let value = self.read.get(name).map_err(|reason| self.unreadable(name, reason, remedy()))?;
        Ok(value.filter(|value| !value.is_empty()))
    }

    /// As [`File::get`], of a table; empty entries are none, too.
    fn table(&self, name: &'static str, default: &[(&str, &str)]) -> Result<BTreeMap<String, String>, Error> {
        let default = || default.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        if !self.is_needed(name) {
            return Ok(default());
        }
        let remedy = || format!("write {name}=([KEY]=VALUE …) as one command by itself");
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

    /// Reads the three settings: the leading octets (`192.168`) and two prefix lengths.
    fn parse(subnet: &str, full: &str, prefix: &str) -> Result<Self, Error> {
        let form = |name, value: &str, rule| Error::Form { name, value: value.into(), rule };
        let bad_subnet = || form("IP4_SUBNET", subnet, "one to four numbers from 0 to 255 with dots between");
        let mut octets = [0; 4];
        for (at, word) in subnet.trim_end_matches('.').split('.').enumerate() {
            *octets.get_mut(at).ok_or_else(bad_subnet)? = word.parse().map_err(|_| bad_subnet())?;
        }
        let full_prefix = full.parse().ok().filter(|bits| (1..=30).contains(bits));
        let full_prefix = full_prefix.ok_or_else(|| form("IP4_FULL_PREFIX_SIZE", full, "1 to 30"))?;
        let prefix_bits = prefix.parse().ok().filter(|bits| (full_prefix..=30).contains(bits));
        let prefix =
            prefix_bits.ok_or_else(|| form("IP4_PREFIX_SIZE", prefix, "from IP4_FULL_PREFIX_SIZE to 30"))?;
        let base = Ipv4Addr::from_bits(u32::from_be_bytes(octets) & (u32::MAX << (32 - full_prefix)));
        Ok(Self { base, full_prefix, prefix })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What all commands together need.
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
    fn state_lies_beside_the_settings_file() {
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
    fn no_folder_is_called_tilde() {
        let error = load("CACHEDIR='~/cache'\n").unwrap_err().to_string();
        assert_eq!(
            error,
            "CACHEDIR=~/cache: no shell has expanded the ~, in quotes or after a flag's =: write $HOME"
        );
        let settings = load("HOME=/home/me\nCACHEDIR=~/cache\n").unwrap();
        assert_eq!(settings.cache, Path::new("/home/me/cache"));
    }

    #[test]
    fn empty_is_unset() {
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
    fn what_is_not_needed_is_not_looked_at() {
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
            "IMAGEDIR: line 2: '$(mktemp -d)' would need a shell; write IMAGEDIR=VALUE on a line of its own, or set \
             IMAGEDIR in the environment"
        );
        let error = load("declare -A BASE_SUITES=([a]=b)\nBASE_SUITES+=([c]=d)\n").unwrap_err().to_string();
        let (_, said) = error.split_once("setup.sh, ").unwrap();
        assert_eq!(
            said,
            "BASE_SUITES: line 2: 'BASE_SUITES+=([c]=d)' would need a shell; write BASE_SUITES=([KEY]=VALUE …) as \
             one command by itself"
        );
    }
}
