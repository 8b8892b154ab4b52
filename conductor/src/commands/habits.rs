//! Advice for those who type what docker(1) and podman(1) understand. Without it, the tip after
//! `conductor rm x` would be `rmcache`, and that after `run -it` an argument `-- -t`.

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};

/// Replaces the tip of an error in the command line that `called` a command, if there is a better
/// one.
pub fn advise(mut error: Error, called: Option<&str>) -> Error {
    let word = |kind| match error.get(kind) {
        Some(ContextValue::String(word)) => word.as_str(),
        _ => "",
    };
    let advice = match error.kind() {
        ErrorKind::InvalidSubcommand => of_command(word(ContextKind::InvalidSubcommand)),
        ErrorKind::UnknownArgument => of_option(called.unwrap_or_default(), word(ContextKind::InvalidArg)),
        _ => None,
    };
    if let Some(advice) = advice {
        for tip in [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg] {
            error.remove(tip);
        }
        let tip = ContextValue::StyledStrs(vec![StyledStr::from(advice)]);
        error.insert(ContextKind::Suggested, tip);
    }
    error
}

fn of_command(word: &str) -> Option<&'static str> {
    Some(match word {
        "rm" | "kill" => "`conductor stop CONTAINER` ends a container and deletes it",
        "create" | "start" | "restart" => {
            "`conductor run IMAGE CONTAINER` starts a new container; a stopped one is deleted"
        }
        "container" | "top" => "`conductor ps` lists containers",
        "image" => "`conductor images` lists images, `conductor rmi IMAGE` deletes one",
        "pull" | "push" | "login" | "search" | "tag" => {
            "there are no registries: `conductor build IMAGE` builds an image from a Conductorfile"
        }
        "system" | "prune" => "`conductor rmcache` deletes base systems and layers that no image needs",
        "network" | "port" => {
            "`conductor addnetwork -i CONTAINER` connects a container, -e INNER-OUTER publishes a port"
        }
        "inspect" => "`conductor ps --json` and `conductor images --json` print what is known",
        "logs" | "attach" => "a container's output goes where `conductor run` was started: `… >FILE &`",
        "cp" | "volume" => "COPY brings files into an image; /proc/PID/root is a running container's root",
        _ => return None,
    })
}

fn of_option(called: &str, option: &str) -> Option<&'static str> {
    Some(match (called, option) {
        ("run" | "exec", "-i" | "-t" | "--interactive" | "--tty") => {
            "leave it out: the command gets the terminal on which conductor runs"
        }
        ("run" | "exec", "-d" | "--detach") => "put `&` after the command line",
        ("run", "--rm") => "leave it out: `conductor stop CONTAINER` deletes the container",
        ("run", "--name") => "the name follows the image: `conductor run IMAGE CONTAINER`",
        ("run", "-p" | "--publish") => {
            "after the start, `conductor addnetwork CONTAINER -e INNER-OUTER` publishes a port"
        }
        ("run", "-v" | "--volume" | "--mount") => {
            "there are no volumes: COPY brings files into an image; /proc/PID/root is a running container's root"
        }
        ("run" | "exec", "-e" | "--env") => "set it in the container: `… -- env NAME=VALUE COMMAND`",
        ("build", "-t" | "--tag") => "the name comes first: `conductor build IMAGE`",
        ("build", "-f" | "--file") => "the file follows the name: `conductor build IMAGE FILE`",
        ("rmi" | "stop", "-f" | "--force") => "leave it out",
        _ => return None,
    })
}
