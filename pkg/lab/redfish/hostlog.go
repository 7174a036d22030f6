package redfish

import (
	"fmt"
	"net/http"
	"strconv"
)

// ConsoleKeeper is what a Machine implements as well when what its serial console prints is kept. It is served as OpenBMC does it: the log service
// HostLogger of the system, with a line in each entry.
type ConsoleKeeper interface {
	// ConsoleLines are the lines that are kept, oldest first.
	ConsoleLines() ([]string, error)
}

// hostLogRoutes serves the host's console. A machine that keeps none has no log services.
func (s *Server) hostLogRoutes() {
	keeper, ok := s.machine.(ConsoleKeeper)
	if !ok {
		return
	}
	services := s.systemPath() + "/LogServices"
	logger := services + "/HostLogger"
	s.get(services, collection("LogServiceCollection", services, logger))
	s.get(logger, func(*http.Request) (object, error) {
		return object{
			"@odata.id": logger, "@odata.type": "#LogService.v1_2_0.LogService", "Id": "HostLogger", "Name": "Host Logger Service",
			"Description": "The host's serial console", "Status": healthy(), "Entries": link(logger + "/Entries"),
		}, nil
	})
	s.get(logger+"/Entries", func(r *http.Request) (object, error) { return hostLog(logger+"/Entries", keeper, r) })
}

// hostLog answers with a page of entries, as $skip and $top choose it (DSP0266, 7.3.1).
func hostLog(path string, keeper ConsoleKeeper, r *http.Request) (object, error) {
	lines, err := keeper.ConsoleLines()
	if err != nil {
		return nil, err
	}
	number := func(name string, otherwise int) (int, error) {
		text := r.URL.Query().Get(name)
		if text == "" {
			return otherwise, nil
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return 0, refuse(http.StatusBadRequest, "QueryParameterValueFormatError", "%s=%q is no number", name, text)
		}
		return n, nil
	}
	skip, err := number("$skip", 0)
	if err != nil {
		return nil, err
	}
	top, err := number("$top", 1000)
	if err != nil {
		return nil, err
	}
	from := min(skip, len(lines))
	entries := []object{}
	for i, line := range lines[from:min(len(lines), from+top)] {
		id := strconv.Itoa(from + i)
		entries = append(entries, object{
			"@odata.id": path + "/" + id, "@odata.type": "#LogEntry.v1_8_0.LogEntry", "Id": id, "Name": fmt.Sprintf("Host Logger Entry %s", id),
			"EntryType": "Oem", "OemRecordFormat": "Host Logger Entry", "Severity": "OK", "Message": line,
		})
	}
	return object{
		"@odata.id": path, "@odata.type": "#LogEntryCollection.LogEntryCollection", "Name": "Host Logger Entries",
		"Members": entries, "Members@odata.count": len(lines),
	}, nil
}
