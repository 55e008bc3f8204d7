package agent

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// smallBytes bounds the files that the configuration names: secrets,
// certificates, env files. The system's bundle of authorities is 220 KiB.
const smallBytes = 1 << 20

// readSmallFile reads a file that can be read again later: a pipe cannot, and
// would block. Its error does not name the file.
func readSmallFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, withoutPath(err)
	case info.IsDir():
		return nil, errors.New("is a directory")
	case !info.Mode().IsRegular():
		return nil, errors.New("not a regular file")
	}
	return readSmall(name)
}

// readSmall also reads a pipe, such as a shell's <(command).
func readSmall(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, smallBytes+1))
	switch {
	case err != nil:
		return nil, withoutPath(err)
	case len(content) > smallBytes:
		return nil, errors.New("larger than 1 MiB")
	}
	return content, nil
}

// writeWhole replaces a file so that a crash leaves the old one or the new one.
func writeWhole(name, content string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*") // 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file.Name()) }()
	_, writeErr := file.WriteString(content)
	for _, err := range []error{writeErr, file.Sync(), file.Close()} {
		if err != nil {
			return err
		}
	}
	return os.Rename(file.Name(), name)
}

func isDirectory(name string) error {
	info, err := os.Stat(name)
	switch {
	case err != nil:
		return withoutPath(err)
	case !info.IsDir():
		return errors.New("not a directory")
	}
	return nil
}

// withoutPath strips the name from a file error: people paste the secret itself
// where its file's name belongs.
func withoutPath(err error) error {
	if pathErr := (*fs.PathError)(nil); errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}
