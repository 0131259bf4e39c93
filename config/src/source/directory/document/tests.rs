//! Documents are what serde-saphyr, which knows all of YAML, takes them for.

use proptest::prelude::*;

use super::*;

const USUAL: &str = "\
# a comment
apiVersion: v1
kind: Service   # another
metadata: {name: web, labels: {'a': \"b\\n\", c: }}
spec:
  ports:
  - {name: main, port: 80, appProtocol: http}
  - port: 8080
    name: >
      folded
      text
  ip: 10.0.0.1
  timeout: 250ms
  path: /a:b
  text: |
    --- not a document
    more
  nothing: ~
  truth: true
";

fn at_once(text: &str) -> Option<Vec<Node<'_>>> {
    compose::documents((3, text))
}

fn by_saphyr(text: &str) -> Option<Vec<Node<'_>>> {
    saphyr::documents((3, text)).ok()
}

#[test]
fn what_is_usual_is_composed_at_once_and_as_serde_saphyr_does() {
    let texts = [USUAL, "", "# nothing\n", "---\n---\na: 1\n...\n# end\n", "- a\n- [b, {c: d}]\n"];
    for text in texts {
        let composed = at_once(text);
        assert!(composed.is_some(), "{text}");
        assert_eq!(composed, by_saphyr(text), "{text}");
    }
}

#[test]
fn what_is_rare_or_wrong_is_left_to_serde_saphyr() {
    let texts = [
        "a: &x 1\nb: *x\n",
        "a: !!str 1\n",
        "a: yes\n",
        "a: 0x10\n",
        "a: 1.5\n",
        "a: -1\n",
        "a: 010\n",
        "<<: {a: 1}\n",
        "1: a\n",
        "? [a]\n: b\n",
        "a: 1\na: 2\n",
        "a: [1\n",
        "a: 99999999999999999999999\n",
    ];
    for text in texts {
        assert_eq!(at_once(text), None, "{text}");
    }
    let many: Vec<_> = (0..20).chain([3]).map(|key| format!("k{key}: 1")).collect();
    assert_eq!(at_once(&many.join("\n")), None, "of many keys one comes twice");
}

#[test]
fn a_file_is_taken_apart_where_documents_begin() {
    let check = |text: &str, expected: &[Part<'_>]| assert_eq!(parts(text), expected, "{text:?}");
    check("", &[(0, "")]);
    check("a: 1\n---\nb: 2\n", &[(0, "a: 1\n"), (1, "---\nb: 2\n")]);
    check("---\na: 1\n--- # c\nb: 2", &[(0, "---\na: 1\n"), (2, "--- # c\nb: 2")]);
    check("--- a\n---\tb\n---\r\nc", &[(0, "--- a\n"), (1, "---\tb\n"), (2, "---\r\nc")]);
    check("# c\n%YAML 1.2\n---\na: 1\n", &[(0, "# c\n%YAML 1.2\n---\na: 1\n")]);
    check("a: 1\n...\n%YAML 1.2\n---\nb: 2\n", &[(0, "a: 1\n...\n%YAML 1.2\n---\nb: 2\n")]);
    check("a: ---\n---b: 1\n ---\n", &[(0, "a: ---\n---b: 1\n ---\n")]);
    check("a: 1\rb: 2\r\n---\nc", &[(0, "a: 1\rb: 2\r\n"), (2, "---\nc")]);
}

#[test]
fn lines_are_those_of_the_file() {
    for second in ["b: [c,\n  d]\n", "b: [c,\n  &x d]\n"] {
        let text = format!("a: 1\n---\n{second}");
        let part = parts(&text).pop().expect("there are two parts");
        let documents = Node::documents(part).expect("it is YAML");
        let document = documents.first().expect("there is one");
        assert_eq!((document.line, document.line_of("b[1]")), (3, 4), "{text}");
    }
    let wrong = Node::documents((7, "a: 1\nb: [\n")).expect_err("it is not closed");
    assert!(wrong.line > 8, "{wrong:?}");
}

proptest! {
    #[test]
    fn a_scalar_means_what_it_means_to_serde_saphyr(scalar in "[-+.~a-z0-9_:/,TFNnulyes ]{0,9}") {
        for text in [format!("a: {scalar}\n"), format!("- [{scalar}]\n")] {
            if let Some(composed) = at_once(&text) {
                prop_assert_eq!(Some(composed), by_saphyr(&text), "{}", text);
            }
        }
    }

    #[test]
    fn the_parts_of_a_file_say_what_it_says_as_a_whole(
        lines in prop::collection::vec("(---|\\.\\.\\.|#x|%YAML 1.2|a: b|--- c|b: \\|| {2}---|- d|'|)", 0..12),
    ) {
        let text = lines.join("\n");
        let together: String = parts(&text).iter().map(|(_, part)| *part).collect();
        prop_assert_eq!(&together, &text);
        if let Ok(whole) = saphyr::documents((0, &text)) {
            let apart: Result<Vec<_>, _> = parts(&text).into_iter().map(Node::documents).collect();
            let apart = apart.expect("each part can be read").into_iter().flatten();
            // Where an empty scalar stands, nobody can tell.
            let said = |node: Node<'_>| (node.line, node.value());
            let (apart, whole): (Vec<_>, Vec<_>) =
                (apart.map(said).collect(), whole.into_iter().map(said).collect());
            prop_assert_eq!(apart, whole, "{}", text);
        }
    }
}
