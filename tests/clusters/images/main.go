// Archive writes a docker archive with a single layer, FROM scratch: static binaries and other
// files, and a config that runs the first of them as user 65532.
package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"runtime"
	"strings"
	"time"
)

// epoch makes the archive the same for the same files.
var epoch = time.Unix(0, 0).UTC()

type labels map[string]string

func (l labels) String() string { return fmt.Sprint(map[string]string(l)) }

func (l labels) Set(text string) error {
	key, value, found := strings.Cut(text, "=")
	if !found {
		return fmt.Errorf("a label is KEY=VALUE, not %q", text)
	}
	l[key] = value
	return nil
}

type image struct {
	tag, user, entrypoint string
	labels                labels
}

func main() {
	made := image{labels: labels{}}
	flag.StringVar(&made.tag, "tag", "", "name and tag of the image")
	flag.StringVar(&made.user, "user", "65532:65532", "user and group that it runs as")
	flag.StringVar(&made.entrypoint, "entrypoint", "", "program that it runs, and its arguments")
	flag.Var(made.labels, "label", "KEY=VALUE, may be repeated")
	applets := flag.String("applets", "", "path in the image of a busybox, to link all its applets to")
	out := flag.String("out", "", "archive to write")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: archive -tag NAME:TAG -entrypoint PROGRAM -out FILE [-user U] [-label K=V] SOURCE:TARGET...")
		flag.PrintDefaults()
	}
	flag.Parse()
	if made.tag == "" || *out == "" || flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := write(*out, made, *applets, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "archive:", err)
		os.Exit(1)
	}
}

func write(out string, made image, applets string, files []string) error {
	layer, err := makeLayer(files, applets)
	if err != nil {
		return err
	}
	config, err := makeConfig(made, layer)
	if err != nil {
		return err
	}
	manifest, err := json.Marshal([]any{map[string]any{
		"Config": "config.json", "RepoTags": []string{made.tag}, "Layers": []string{"layer.tar"},
	}})
	if err != nil {
		return err
	}
	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	for _, entry := range []struct {
		name    string
		content []byte
	}{{"config.json", config}, {"layer.tar", layer}, {"manifest.json", manifest}} {
		if err := addFile(writer, entry.name, 0o644, entry.content); err != nil {
			return err
		}
	}
	if err := writer.Close(); err != nil {
		return err
	}
	// Renamed into place, so that nobody loads half an image.
	if err := os.WriteFile(out+".part", archive.Bytes(), 0o644); err != nil {
		return err
	}
	return os.Rename(out+".part", out)
}

func makeConfig(made image, layer []byte) ([]byte, error) {
	return json.Marshal(map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"created":      epoch,
		"config": map[string]any{
			"User":       made.user,
			"Entrypoint": strings.Fields(made.entrypoint),
			"Env":        []string{"PATH=/bin:/"},
			"WorkingDir": "/",
			"Labels":     made.labels,
		},
		"rootfs": map[string]any{
			"type":     "layers",
			"diff_ids": []string{fmt.Sprintf("sha256:%x", sha256.Sum256(layer))},
		},
	})
}

// makeLayer packs each SOURCE:TARGET, the folders above it and a /tmp for everybody.
func makeLayer(files []string, applets string) ([]byte, error) {
	var buffer bytes.Buffer
	layer := tar.NewWriter(&buffer)
	made := map[string]bool{".": true, "tmp": true}
	if err := layer.WriteHeader(&tar.Header{Name: "tmp/", Typeflag: tar.TypeDir, Mode: 0o1777, ModTime: epoch}); err != nil {
		return nil, err
	}
	for _, file := range files {
		source, target, found := strings.Cut(file, ":")
		if !found {
			return nil, fmt.Errorf("a file is SOURCE:TARGET, not %q", file)
		}
		target = strings.TrimPrefix(path.Clean(target), "/")
		if err := addFolders(layer, path.Dir(target), made); err != nil {
			return nil, err
		}
		if err := addSource(layer, source, target); err != nil {
			return nil, err
		}
		if "/"+target == applets {
			if err := addApplets(layer, source, target); err != nil {
				return nil, err
			}
		}
	}
	if err := layer.Close(); err != nil {
		return nil, err
	}
	return buffer.Bytes(), nil
}

func addFolders(layer *tar.Writer, folder string, made map[string]bool) error {
	if made[folder] {
		return nil
	}
	if err := addFolders(layer, path.Dir(folder), made); err != nil {
		return err
	}
	made[folder] = true
	return layer.WriteHeader(&tar.Header{Name: folder + "/", Typeflag: tar.TypeDir, Mode: 0o755, ModTime: epoch})
}

func addSource(layer *tar.Writer, source, target string) error {
	file, err := os.Open(source)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	content, err := io.ReadAll(file)
	if err != nil {
		return err
	}
	mode := int64(0o644)
	if info.Mode()&0o111 != 0 {
		mode = 0o755
	}
	return addFile(layer, target, mode, content)
}

func addApplets(layer *tar.Writer, busybox, target string) error {
	list, err := exec.Command(busybox, "--list").Output()
	if err != nil {
		return err
	}
	for _, applet := range strings.Fields(string(list)) {
		name := path.Join(path.Dir(target), applet)
		if name == target {
			continue
		}
		link := &tar.Header{Name: name, Linkname: path.Base(target), Typeflag: tar.TypeSymlink, Mode: 0o777, ModTime: epoch}
		if err := layer.WriteHeader(link); err != nil {
			return err
		}
	}
	return nil
}

func addFile(writer *tar.Writer, name string, mode int64, content []byte) error {
	header := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: mode, Size: int64(len(content)), ModTime: epoch}
	if err := writer.WriteHeader(header); err != nil {
		return err
	}
	_, err := writer.Write(content)
	return err
}
