package storage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
)

// Some storages say that a record isn't there when they can't be asked: a Redis
// module that turns every error into "not found", a network folder that isn't
// mounted. To believe them would be to say that a token is not active, or that a
// grant has ended. So every server has a record that must exist, the marker.
// That something is absent is believed only while the marker is there.

// markerKey is the key of the marker. It is made with the first record.
const markerKey = "marker"

// ErrVanished says that a storage has lost what it had, or has something else in
// its place.
var ErrVanished = errors.New("the storage says it is empty, and has even lost a record that was there before: " +
	"it can't be reached, or it was emptied (if you have emptied it, reload the configuration)")

// certain asks until the answer can be believed. The marker is looked for before
// and after what isn't there is asked for again: the storage may have come back
// just now, or gone away.
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

// marked returns nil if the marker is there, which is made if it never was.
func (r *Records) marked(ctx context.Context) error {
	err := r.lookForMarker(ctx)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// To make it again would turn an empty folder, where a network's is to be
	// mounted, into a storage of which all is believed.
	if r.seen.Load() {
		return ErrVanished
	}
	unlock, err := r.Lock(ctx, markerKey)
	if err != nil {
		return fmt.Errorf("checking the storage: %w", err)
	}
	defer unlock()
	// Another Caddy may just have made it.
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
