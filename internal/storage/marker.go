package storage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
)

// Some storages report a missing record when they are unavailable: a Redis module
// that turns every error into "not found", a network folder that isn't mounted.
// If this were believed, a token would be called inactive, or a grant ended. So
// every server has a record that must exist, the marker. A missing record is
// believed only while the marker exists.

// markerKey is the key of the marker, which is stored with the first record.
const markerKey = "marker"

// ErrVanished means that a storage has lost its records, or was replaced by
// another.
var ErrVanished = errors.New("the storage says it is empty, and has even lost a record that was there before: " +
	"it can't be reached, or it was emptied (if you have emptied it, reload the configuration)")

// certain calls ask until its answer can be believed. If a record is missing, it
// looks for the marker, calls ask again, and looks for the marker again: the
// storage may have become available or unavailable in between.
func (r *Records) certain(ctx context.Context, ask func() error) error {
	err := ask()
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := r.marked(ctx); err != nil {
		return err
	}
	if err = ask(); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if away := r.marked(ctx); away != nil {
		return away
	}
	return err
}

// marked returns nil if the marker exists. It stores the marker if there never
// was one.
func (r *Records) marked(ctx context.Context) error {
	err := r.lookForMarker(ctx)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// If the marker were stored again, an empty folder, where a network folder
	// should be mounted, would count as a working storage.
	if r.seen.Load() {
		return ErrVanished
	}
	unlock, err := r.Lock(ctx, markerKey)
	if err != nil {
		return fmt.Errorf("checking the storage: %w", err)
	}
	defer unlock()
	// Another Caddy may have stored it meanwhile.
	if err := r.lookForMarker(ctx); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	record, err := json.Marshal("here")
	if err != nil {
		return err
	}
	if err := r.write(ctx, markerKey, record); err != nil {
		return fmt.Errorf("storing the first record: %w", err)
	}
	if err := r.lookForMarker(ctx); errors.Is(err, fs.ErrNotExist) {
		return errors.New("the storage doesn't have what was just stored")
	} else if err != nil {
		return err
	}
	return nil
}

func (r *Records) lookForMarker(ctx context.Context) error {
	if _, err := r.read(ctx, markerKey); err != nil {
		return err
	}
	r.seen.Store(true)
	return nil
}
