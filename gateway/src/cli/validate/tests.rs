//! Each problem is told with file, line and field.

use clap::Parser;
use tempfile::TempDir;

use super::*;
use crate::cli::samples;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
}

fn validated(directory: &TempDir) -> String {
    let path = directory.path().to_str().unwrap();
    let Line { arguments } = Line::parse_from(["validate", "-f", path]);
    text(&findings(&arguments).unwrap()).replace(&format!("{path}/"), "")
}

#[test]
fn a_sound_directory_has_no_problem() {
    assert_eq!(validated(&samples::directory()), "no problem\n");
}

#[test]
fn a_broken_object_is_told_with_file_line_and_field() {
    let directory = samples::directory();
    let route = "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: odd, namespace: shop }
spec:
  parentRefs: [{ name: edge }]
  rules:
    - matches:
        - path:
            type: Odd
";
    samples::add(&directory, "odd.yaml", route);
    let told = validated(&directory);
    assert!(
        told.starts_with("odd.yaml:9: HTTPRoute shop/odd: spec.rules[0].matches[0].path.type: "),
        "{told}"
    );
    assert!(told.ends_with("1 problem\n"), "{told}");
}

#[test]
fn what_the_compile_rejects_is_told_with_file_line_and_field() {
    let directory = samples::directory();
    let route = "# A comment.
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: lost, namespace: shop }
spec:
  parentRefs:
    - name: edge
    - name: edge
      sectionName: none
  rules: [{ backendRefs: [{ name: cart, port: 80 }] }]
";
    samples::add(&directory, "lost.yaml", route);
    let told = validated(&directory);
    assert!(
        told.starts_with(
            "lost.yaml:9: HTTPRoute shop/lost: spec.parentRefs[1]: NoMatchingParent: "
        ),
        "{told}"
    );
}

#[test]
fn a_link_that_would_not_be_used_is_a_problem() {
    let directory = samples::directory();
    let link = "apiVersion: spanway.dev/v1alpha1
kind: ClusterLink
metadata: { name: west }
spec:
  addresses: ['192.0.2.1:15443']
  trustDomain: west.example
  bundleRef: { name: absent }
";
    samples::add(&directory, "link.yaml", link);
    let told = validated(&directory);
    assert!(told.starts_with("link.yaml:5: ClusterLink west: spec: InvalidBundle: "), "{told}");
}

#[test]
fn an_export_without_its_service_is_a_problem() {
    let directory = samples::directory();
    let export = "apiVersion: multicluster.x-k8s.io/v1beta1
kind: ServiceExport
metadata: { name: absent, namespace: shop }
";
    samples::add(&directory, "export.yaml", export);
    let told = validated(&directory);
    assert!(told.contains("ServiceExport shop/absent: spec: NoService: "), "{told}");
}
