import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;

/** The JDK's HttpClient as it comes: it offers h2c with its first request. Prints the labels of the digits it is given. */
class Offers {
    public static void main(String[] arguments) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        for (int place = 1; place < arguments.length; place++) {
            HttpRequest request = HttpRequest.newBuilder(URI.create(arguments[0] + "/classify"))
                .header("Content-Type", "image/png")
                .POST(HttpRequest.BodyPublishers.ofFile(Path.of(arguments[place]))).build();
            HttpResponse<String> answer = client.send(request, HttpResponse.BodyHandlers.ofString());
            if (answer.statusCode() != 200) throw new IllegalStateException(answer.body());
            System.out.println(answer.body());
        }
    }
}
