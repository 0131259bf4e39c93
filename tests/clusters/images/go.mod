module spanway/tests/clusters/images

go 1.26.0
