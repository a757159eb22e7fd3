package pebblelog

import (
	"errors"
	"io"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// truncater is a file system that can cut files.
type truncater interface {
	Truncate(name string, length int64) error
}

// truncate cuts a file to a length, durably. One that isn't there is short enough.
func truncate(fs vfs.FS, name string, length int64) error {
	err := error(nil)
	if t, ok := fs.(truncater); ok {
		err = t.Truncate(name, length)
	} else if fs == vfs.Default {
		err = truncateInPlace(name, length)
	} else {
		err = truncateCopy(fs, name, length)
	}
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// truncateInPlace is for files of the operating system. It needs no room on the disk.
func truncateInPlace(name string, length int64) error {
	file, err := os.OpenFile(name, os.O_WRONLY, 0) //nolint:gosec // a file of the store
	if err != nil {
		return err
	}
	return errors.Join(file.Truncate(length), file.Sync(), file.Close())
}

// truncateCopy puts a copy of what stays in the place of the file.
func truncateCopy(fs vfs.FS, name string, length int64) error {
	from, err := fs.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	temp := name + ".cut"
	to, err := fs.Create(temp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = io.Copy(struct{ io.Writer }{to}, io.LimitReader(from, length))
	err = errors.Join(err, to.Sync(), to.Close())
	if err != nil {
		return errors.Join(err, fs.Remove(temp))
	}
	if err := fs.Rename(temp, name); err != nil {
		return err
	}
	dir, err := fs.OpenDir(fs.PathDir(name))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
