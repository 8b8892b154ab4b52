//! Tests: what valid Conductorfiles mean, and the messages for invalid ones.

use proptest::prelude::*;

use super::*;

const BASES: [&str; 3] = ["debian:bookworm", "ubuntu:jammy", "ubuntu:focal"];

fn parse(text: &str) -> Result<Conductorfile, Error> {
    Conductorfile::parse(Path::new("dir/Conductorfile"), text, BASES)
}

fn steps(file: Conductorfile) -> Vec<Step> {
    file.instructions.into_iter().map(|instruction| instruction.step).collect()
}

fn run(command: &str) -> Step {
    Step::Run { command: command.into() }
}

fn copy(words: &[&str]) -> Step {
    let (destination, sources) = words.split_last().unwrap();
    Step::Copy {
        sources: sources.iter().map(ToString::to_string).collect(),
        destination: (*destination).into(),
    }
}

#[test]
fn the_assignments_own_example_is_understood() {
    let parsed = parse(
        "# counter service\nFROM debian:bookworm\n\nCOPY counter-service /cs\nRUN apt update && \\\n    apt install -y build-essential && \\\n    # in between\n\n    make -C /cs\n",
    );
    let parsed = parsed.unwrap();
    assert_eq!(parsed.from, "debian:bookworm");
    assert_eq!(parsed.instructions.iter().map(|instruction| instruction.line).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(
        steps(parsed),
        [
            copy(&["counter-service", "/cs"]),
            run("apt update &&     apt install -y build-essential &&     make -C /cs")
        ]
    );
}

#[test]
fn a_byte_order_mark_windows_line_ends_lower_case_and_a_missing_last_newline_do_no_harm() {
    let parsed = parse("\u{feff}from ubuntu:jammy \r\n  copy a b\r\nrun echo \\\r\n hi").unwrap();
    assert_eq!(parsed.from, "ubuntu:jammy");
    assert_eq!(steps(parsed), [copy(&["a", "b"]), run("echo  hi")]);
}

#[test]
fn copy_words_may_be_quoted() {
    let parsed = parse("FROM ubuntu:focal\nCOPY 'a b' \"c \\\" d\" e\\ f /dir/\n").unwrap();
    assert_eq!(steps(parsed), [copy(&["a b", "c \" d", "e f", "/dir/"])]);
}

#[test]
fn json_arrays_are_words_as_in_a_dockerfile() {
    let parsed =
        parse("FROM ubuntu:focal\nRUN [\"echo\", \"a b\"]\nCOPY [\"a b\", \"c\", \"/d\"]\n").unwrap();
    let argv = vec!["echo".into(), "a b".into()];
    assert_eq!(steps(parsed), [Step::Execute { argv }, copy(&["a b", "c", "/d"])]);
}

#[test]
fn shell_commands_that_look_like_something_else_stay_shell_commands() {
    for command in
        ["[ -f /x ] || touch /x", "echo $((1 << 2)) $((a<<b))", "cat <<< text", "echo a # b", "[[ -e x ]]"]
    {
        let parsed = parse(&format!("FROM ubuntu:focal\nRUN {command}\n")).unwrap();
        assert_eq!(steps(parsed), [run(command)], "{command}");
    }
}

#[test]
fn an_error_names_file_line_and_column_and_shows_the_line() {
    let error = parse("FROM debian:bookworm\n\tCOPY a\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "dir/Conductorfile:2:8: COPY needs a source and a destination\n 2 | \tCOPY a\n   | \t      ^"
    );
}

#[test]
fn an_error_in_a_continued_line_is_shown_where_it_is() {
    let error = parse("FROM debian:bookworm\nCOPY a \\\n# comment\n   'b /c\n").unwrap_err();
    assert_eq!((error.line, error.column, error.text.as_str()), (4, 4, "   'b /c"));
}

#[test]
fn quoted_text_begins_no_here_document() {
    for command in [
        "echo 'std::cout <<x' > /a.cc",
        "echo \"a << b\"",
        "python -c \"print(1 <<n)\"",
        "echo \"say \\\"a <<b\\\"\"",
        "echo a \\<<b",
        "cat <<<word",
        "echo $((1<<n))",
    ] {
        parse(&format!("FROM debian:bookworm\nRUN {command}\n")).unwrap();
    }
    for command in ["echo 'a' \"b\" && cat <<x", "echo it\\'s; cat <<\"x\"", "cat <<-'x'", "cat << \\x"] {
        parse(&format!("FROM debian:bookworm\nRUN {command}\n")).unwrap_err();
    }
}

#[test]
fn every_mistake_has_its_message() {
    for (text, line, column, problem) in [
        ("", 1, 1, "there is no FROM"),
        ("# only\n\n", 2, 1, "there is no FROM"),
        ("RUN x\n", 1, 1, "first instruction must be FROM"),
        ("FROM\n", 1, 5, "FROM needs a base system: debian:bookworm"),
        ("FROM alpine\n", 1, 6, "no base system 'alpine'"),
        ("FROM debian:bookworm AS x\n", 1, 6, "FROM takes no AS"),
        ("FROM ubuntu:jammy\nFROM ubuntu:jammy\n", 2, 1, "FROM must appear only once"),
        ("FROM ubuntu:jammy\nRUN  \n", 2, 4, "RUN needs a command"),
        ("FROM ubuntu:jammy\nRUN x \\\n# c\n\n", 2, 6, "no line follows"),
        ("FROM ubuntu:jammy\nRUN x \\\n  \\\\", 3, 4, "no line follows"),
        ("FROM ubuntu:jammy\nWORKDIR /x\n", 2, 1, "'WORKDIR' is not an instruction"),
        ("FROM ubuntu:jammy\nCOPY --from=x a b\n", 2, 6, "build the files in a RUN"),
        ("FROM ubuntu:jammy\nCOPY --chmod=644 a b\n", 2, 6, "RUN chmod MODE PATH"),
        ("FROM ubuntu:jammy\nCOPY a /b # c\n", 2, 11, "a comment needs its own line"),
        ("FROM ubuntu:jammy\nENV A=b\n", 2, 1, "RUN NAME=value command"),
        ("FROM ubuntu:jammy\nRUN --mount=type=cache,target=/x ls\n", 2, 5, "RUN has no option '--mount"),
        ("FROM ubuntu:jammy\nRUN ['echo', 'hi']\n", 2, 5, "not a JSON array of strings"),
        ("FROM ubuntu:jammy\nRUN []\n", 2, 5, "RUN needs a command"),
        ("FROM ubuntu:jammy\nRUN cat <<EOF > /x\na\nEOF\n", 2, 9, "COPY a file with the text"),
        ("FROM ubuntu:jammy\nRUN <<-'EOF'\na\nEOF\n", 2, 5, "here-document"),
        ("FROM ubuntu:jammy\nRUN a\0b\n", 2, 6, "NUL byte"),
        ("FROM ubuntu:jammy\nCOPY a ''\n", 2, 8, "must not be empty"),
        ("FROM ubuntu:jammy\nCOPY a \"b\n", 2, 8, "the closing \" is missing"),
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!((error.line, error.column), (line, column), "{text:?}: {error}");
        assert!(error.problem.contains(problem), "{text:?}: {error}");
    }
}

fn word() -> impl Strategy<Value = String> {
    "[^\\p{C}\u{85}\u{2028}\u{2029}]{1,12}".prop_filter("not an option", |word| !word.starts_with("--"))
}

fn step() -> impl Strategy<Value = Step> {
    let command = "[A-Za-z/.]([ -;=-~é]{0,30}[!-;=-\\[\\]-~])?";
    prop_oneof![
        prop::collection::vec(word(), 1..4).prop_map(|argv| Step::Execute { argv }),
        command.prop_map(|command| Step::Run { command }),
        (prop::collection::vec(word(), 1..4), word())
            .prop_map(|(sources, destination)| Step::Copy { sources, destination }),
    ]
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back(
        from in prop::sample::select(BASES.to_vec()),
        steps in prop::collection::vec(step(), 0..6),
    ) {
        let instructions =
            (2..).zip(steps).map(|(line, step)| Instruction { line, step }).collect();
        let file = Conductorfile { from: from.into(), instructions };
        prop_assert_eq!(parse(&file.to_string()), Ok(file));
    }

    #[test]
    fn no_text_makes_it_panic_and_every_error_points_into_the_text(
        text in "((FROM debian:bookworm|COPY|RUN|from|#|\\\\|\"|'|é|\t|[ -~])[ \r\n]?){0,30}",
    ) {
        if let Err(error) = parse(&text) {
            let line = text.lines().nth(error.line - 1).unwrap_or_default();
            prop_assert_eq!(line, &error.text);
            prop_assert!(error.column <= line.chars().count() + 1);
            let _ = error.to_string();
        }
    }
}
