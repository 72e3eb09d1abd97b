//go:build race

package clientdoc_test

func init() { raceDetector = true }
