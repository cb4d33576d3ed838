package health

// grpcCodeName returns the name of a grpc-status, as gRPC's statuscodes document gives it, or what was sent.
func grpcCodeName(code string) string {
	if name := grpcCodes[code]; name != "" {
		return name
	}
	return code
}

var grpcCodes = map[string]string{
	"1":  "CANCELLED",
	"2":  "UNKNOWN",
	"3":  "INVALID_ARGUMENT",
	"4":  "DEADLINE_EXCEEDED",
	"5":  "NOT_FOUND",
	"6":  "ALREADY_EXISTS",
	"7":  "PERMISSION_DENIED",
	"8":  "RESOURCE_EXHAUSTED",
	"9":  "FAILED_PRECONDITION",
	"10": "ABORTED",
	"11": "OUT_OF_RANGE",
	"12": "UNIMPLEMENTED",
	"13": "INTERNAL",
	"14": "UNAVAILABLE",
	"15": "DATA_LOSS",
	"16": "UNAUTHENTICATED",
}
