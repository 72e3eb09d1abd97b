//go:build race

package throttle

func init() { raceDetector = true }
