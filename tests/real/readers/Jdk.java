// The JDK's own server: its contexts, and what applications read out of its request URI. One path a line.

import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.URLDecoder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Paths;
import java.util.LinkedHashSet;
import java.util.Set;
import java.util.concurrent.Executors;

public class Jdk {
    public static void main(String[] arguments) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0])), 0);
        for (String context : new String[] {"/", "/admin", "/admin/assets", "/public", "/base/admin", "/base"}) {
            server.createContext(context, exchange -> {
                URI uri = exchange.getRequestURI();
                Set<String> read = new LinkedHashSet<>();
                // A context of the JDK is a prefix of characters: /adminx is in /admin, and no business of ours.
                String path = String.valueOf(uri.getPath());
                if (path.equals(context) || path.startsWith(context + "/")) read.add(context);
                read.add(path);
                read.add(String.valueOf(uri.getRawPath()));
                read.add(String.valueOf(uri.normalize().getPath()));
                read.add(String.valueOf(URI.create("http://own.example/").resolve(uri).getPath()));
                try {
                    read.add(URLDecoder.decode(path, StandardCharsets.UTF_8));
                    read.add(Paths.get(path).normalize().toString());
                    read.add(new URI(path).normalize().getPath());
                } catch (Exception unreadable) {
                    // Read by fewer.
                }
                byte[] body = String.join("\n", read).getBytes(StandardCharsets.UTF_8);
                exchange.sendResponseHeaders(200, body.length);
                exchange.getResponseBody().write(body);
                exchange.close();
            });
        }
        server.setExecutor(Executors.newFixedThreadPool(2));
        server.start();
    }
}
