// The key that a llama-server was told to ask for.
#pragma once

#include <string>
#include <vector>

namespace ggufd::engine {

// The first of --api-key, else the first line of --api-key-file that is not empty; empty where `arguments`
// (llama_server.args) have neither or the file can't be read: llama-server will say so. Any one of its keys
// is enough for us. Reads a file: for the pool.
std::string api_key_of(const std::vector<std::string>& arguments);

}  // namespace ggufd::engine
