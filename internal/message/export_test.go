package message

// ReadBody reads a body of so many bytes at most.
var ReadBody = readBody
